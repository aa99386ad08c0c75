"""Reading a mailbox in which much is broken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checkpoints.database import Pool
from graph.errors import ToolFailed
from tests.integration.tools_bench import Bench, bench_on
from tools import letters

PLAIN = b"From: Ann <ann@example.com>\nSubject: Hi\nDate: Mon, 5 Oct 2026 09:30:00 +0200\n\nHello\n"


@pytest.fixture
def bench(pool: Pool, tmp_path: Path) -> Bench:
    made = bench_on(pool, tmp_path / "office")
    (made.workspace / "mailbox").mkdir()
    return made


def _put(bench: Bench, **mails: bytes) -> None:
    for name, data in mails.items():
        (bench.workspace / "mailbox" / f"{name}.eml").write_bytes(data)


async def test_a_mail_is_listed_and_read(bench: Bench) -> None:
    _put(bench, b=PLAIN, a=b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n =?utf-8?q?!?=\nDate: someday\n\nx")

    assert (await bench.said("list_mail")).splitlines() == [
        "a |  | Grüße! | someday",
        "b | Ann <ann@example.com> | Hi | 2026-10-05 09:30",
    ]
    result = await bench.run("read_mail", id="b")
    assert result.text == (
        "From: Ann <ann@example.com>\nTo: \nSubject: Hi\nDate: Mon, 05 Oct 2026 09:30:00 +0200\n\nHello\n"
    )
    assert result.untrusted


BROKEN = {
    "no_headers": b"just text\n",
    "empty": b"",
    "bad_encoding": b"Subject: =?utf-8?b?////?= \xff\xfe =?nope?q?x?=\nFrom: \xff\n\n\xff\xfe",
    "unknown_charset": b"Subject: x\nContent-Type: text/plain; charset=klingon\n\nqapla'",
    "no_charset": b"Subject: x\nContent-Type: text/plain; charset=zip\n\nplain",
    "bad_base64": b"Subject: x\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!!not base64!!",
    "endless_comment": b"From: " + b"(" * 5_000 + b"\nSubject: x\n\nhi",
    "endless_recipients": b"Subject: x\nFrom: " + b"a@example.com, " * 100_000 + b"\n\nhi",
    "nested": b"Subject: x\n"
    + b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(2_000)),
    "no_parts": b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n",
    "cut_off": b'Subject: x\nContent-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\nhalf',
    "bad_date": b"Subject: x\nDate: Mon, 99 Foo 20266 99:99\n\nhi",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_mail_does_not_hide_the_others_and_is_answered_for(bench: Bench, name: str) -> None:
    _put(bench, a=BROKEN[name], b=PLAIN)

    lines = (await bench.said("list_mail")).splitlines()
    result = await bench.run("read_mail", id="a")

    assert [line.split(" | ")[0] for line in lines] == ["a", "b"]
    assert "Ann" in lines[1]
    assert result.ok or result.text.startswith("This source could not be read safely: ")
    assert "Traceback" not in result.text


@pytest.mark.parametrize(
    ("name", "text"),
    [("unknown_charset", "qapla'"), ("no_charset", "plain"), ("cut_off", "half"), ("bad_encoding", "\ufffd\ufffd")],
)
async def test_what_can_be_read_of_a_broken_mail_is_read(bench: Bench, name: str, text: str) -> None:
    _put(bench, a=BROKEN[name])

    assert (await bench.said("read_mail", id="a")).rstrip().endswith(text)


async def test_a_mail_without_headers_and_one_nested_too_deep_say_that_they_are_broken(bench: Bench) -> None:
    _put(bench, a=BROKEN["no_headers"], b=BROKEN["nested"])

    assert "it has no headers" in await bench.refusal("read_mail", id="a")
    assert "over 12 inside one another" in await bench.refusal("read_mail", id="b")


async def test_a_mail_whose_parts_can_not_be_told_apart_is_refused() -> None:
    message = letters.POLICY.message_factory()
    message["Content-Type"] = "multipart/related"
    message.set_payload("no list of parts")
    nested = letters.POLICY.message_factory()
    nested["Content-Type"] = "multipart/related"
    nested.attach(nested)

    assert letters.body(message) == ""
    with pytest.raises(ToolFailed, match="can't be read: RecursionError"):
        letters.body(nested)


async def test_attachments_are_named_and_a_mail_inside_another_is_not_opened(bench: Bench) -> None:
    head = b"Content-Disposition: attachment; filename=%d.txt\n\nx\n"
    parts = [b"Content-Type: message/rfc822\n" + head % 0 + PLAIN, *(head % number for number in range(1, 22))]
    _put(bench, a=b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n" + b"\n--b\n".join(parts))

    lines = (await bench.said("read_mail", id="a")).splitlines()

    told = [line for line in lines if line.startswith("Attachment: ")]
    assert told[0] == "Attachment: 0.txt (message/rfc822, not opened)"
    assert told[1].startswith("Attachment: 1.txt (text/plain, ")
    assert told[20] == "Attachment: [2 more attachments]"
    assert "Hello" not in "".join(lines)


async def test_attachments_that_can_not_be_told_apart_are_refused() -> None:
    message = letters.POLICY.message_factory()
    message["Content-Type"] = "multipart/mixed"
    message.set_payload([b"no part"])

    with pytest.raises(ToolFailed, match="could not be read safely: the mail's attachments can't be told apart"):
        letters.attachments(message)


async def test_a_huge_mail_is_refused_unread(bench: Bench) -> None:
    with (bench.workspace / "mailbox/a.eml").open("wb") as file:
        file.truncate(50_000_000)

    assert "50,000,000 bytes" in await bench.refusal("read_mail", id="a")
    assert "50,000,000 bytes" in await bench.said("list_mail")


async def test_an_html_mail_gives_its_html(bench: Bench) -> None:
    _put(bench, a=b"Subject: x\nContent-Type: text/html; charset=iso-8859-1\n\n<p>Gr\xfc\xdfe</p>")

    assert "<p>Grüße</p>" in await bench.said("read_mail", id="a")


@pytest.mark.parametrize("mail_id", ["nope", "../secret", "sub/a", "a.eml", "", ".hidden", "link", "pipe", "x\0", "*"])
async def test_an_id_that_list_mail_does_not_show_is_refused(bench: Bench, tmp_path: Path, mail_id: str) -> None:
    box = bench.workspace / "mailbox"
    (box / "sub").mkdir()
    (tmp_path / "secret.eml").write_bytes(PLAIN)
    for name in ("a.eml", "sub/a.eml", ".hidden.eml", "../secret.eml"):
        (box / name).write_bytes(PLAIN)
    (box / "link.eml").symlink_to(tmp_path / "secret.eml")
    os.mkfifo(box / "pipe.eml")

    assert "list_mail shows the ids" in await bench.refusal("read_mail", id=mail_id)
    assert [line.split(" | ")[0] for line in (await bench.said("list_mail")).splitlines()] == ["a"]


async def test_an_empty_mailbox_and_a_missing_one_are_told_apart(bench: Bench, tmp_path: Path) -> None:
    assert await bench.said("list_mail") == "the mailbox is empty"

    (bench.workspace / "mailbox").rmdir()
    assert "has no mailbox folder" in await bench.refusal("list_mail")

    (bench.workspace / "mailbox").symlink_to(tmp_path)
    assert "lies outside the workspace" in await bench.refusal("list_mail")
