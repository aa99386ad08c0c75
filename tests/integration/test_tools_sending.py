"""Sending mail: into a real Maildir and to real SMTP servers, good and bad."""

from __future__ import annotations

import mailbox
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from checkpoints.database import Pool
from tests.integration.smtp_bench import PASSWORD, USER, Inbox, answering, certified, serving
from tests.integration.tools_bench import Bench, a_call, bench_on
from tools import delivery

HI = {"to": "ann@example.com", "subject": "Hi", "body": "Hello"}


@pytest.fixture
def bench(pool: Pool, tmp_path: Path) -> Bench:
    return bench_on(pool, tmp_path / "office")


@pytest.fixture
def smtp(pool: Pool, tmp_path: Path) -> Any:
    def at(port: int, *, scheme: str = "smtp", login: str = "") -> Bench:
        return bench_on(pool, tmp_path / "office", smtp_url=f"{scheme}://{login}127.0.0.1:{port}")

    return at


def _delivered(bench: Bench) -> list[Any]:
    return list(mailbox.Maildir(bench.workspace / "outbox", create=False))


async def test_a_mail_goes_into_a_maildir_under_its_idempotency_key(bench: Bench) -> None:
    (bench.workspace / "outbox").mkdir()  # an empty folder is no Maildir yet

    assert await bench.said("send_email", **{**HI, "body": "Grüße\n.\n"}) == "sent to ann@example.com"

    [effect], [message] = await bench.ledger.of_thread("t"), _delivered(bench)
    assert (message["Message-ID"], message["To"], message["Subject"]) == (
        f"<{effect['key']}@ballast>", "ann@example.com", "Hi",
    )  # fmt: skip
    assert message.get_payload(decode=True).decode() == "Grüße\n.\n"


async def test_a_mail_that_may_still_be_written_when_its_time_is_over_is_in_doubt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, to_outbox = threading.Event(), delivery.to_outbox

    def slowly(*args: Any) -> None:
        written.wait()
        to_outbox(*args)

    monkeypatch.setattr(delivery, "to_outbox", slowly)
    step = replace(bench.step("t"), seconds=0.1)

    result = await bench.executor.run(a_call("send_email", **HI), step, occurrence=0)
    written.set()

    assert (bool(result.doubt), await bench.states()) == (True, ["unknown"])


@pytest.mark.parametrize("read", [False, True])
async def test_a_second_delivery_of_one_effect_adds_no_mail(bench: Bench, read: bool) -> None:  # noqa: FBT001
    await bench.said("send_email", **HI)
    if read:
        [one] = (bench.workspace / "outbox/new").iterdir()
        one.rename(bench.workspace / "outbox/cur" / f"{one.name}:2,S")
    async with bench.pool.connection() as connection:
        await connection.execute("UPDATE effects SET state = 'failed'")

    await bench.said("send_email", **HI)

    files = [one.name for folder in ("new", "cur") for one in (bench.workspace / "outbox" / folder).iterdir()]
    [effect] = await bench.ledger.of_thread("t")
    assert files == [effect["key"] + (":2,S" if read else "")]
    assert (effect["state"], effect["attempts"]) == ("done", 2)


@pytest.mark.parametrize("stands_there", ["file", "link"])
async def test_an_outbox_that_can_not_be_used_sends_nothing(bench: Bench, tmp_path: Path, stands_there: str) -> None:
    if stands_there == "file":
        (bench.workspace / "outbox").touch()
    else:
        (bench.workspace / "outbox").symlink_to(tmp_path)

    assert await bench.refusal("send_email", **HI)
    assert not (tmp_path / "new").exists()
    assert await bench.states() == ["failed"]


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "Hi\nBcc: eve@example.com"},
        {"subject": "Hi\r\nBcc: eve@example.com"},
        {"subject": "Hi\u2028Bcc: eve@example.com"},
        {"subject": "\ud800"},
        {"body": "\ud800"},
        {"to": "ann@example.com\nBcc: eve@example.com"},
        {"to": ""},
        {"to": "ann"},
        {"to": "ann@"},
        {"to": "@example.com"},
        {"to": "ann@example.com, bob"},
        {"to": "ann@example.com eve@example.com"},
        {"to": '"a, eve"@example.com'},
        {"to": "=?utf-8?q?eve=40example.com?="},
        {"to": "änn@example.com"},
        {"to": "staff: ann@example.com, eve"},
        {"to": "ann@example.com <eve@example.com>"},
    ],
)
async def test_a_mail_that_can_be_read_in_two_ways_is_refused(bench: Bench, change: dict[str, str]) -> None:
    assert await bench.refusal("send_email", **{**HI, **change})
    assert await bench.states() == ["failed"]
    assert not (bench.workspace / "outbox").exists()


@pytest.mark.parametrize(
    ("to", "risk"),
    [
        (", ".join(f"p{n}@example.com" for n in range(5)), "medium"),
        (", ".join(f"p{n}@example.com" for n in range(6)), "high"),
        ("all: " + ", ".join(f"p{n}@example.com" for n in range(6)) + ";", "high"),
    ],
)
async def test_mail_to_many_people_is_high_risk(bench: Bench, to: str, risk: str) -> None:
    assert (await bench.executor.assess("send_email", {**HI, "to": to})).risk == risk


async def test_smtp_delivers_to_each_recipient_and_names_those_it_refused(smtp: Any) -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        bench = smtp(port)
        said = await bench.said("send_email", **{**HI, "to": "Ann <ann@example.com>, nobody@example.com"})

    assert said.endswith("but the mail server refused nobody@example.com (code 550)")
    [envelope], [mail] = inbox.taken, inbox.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("ballast@localhost", ["ann@example.com"])
    assert (mail["Subject"], mail.get_content()) == ("Hi", "Hello\r\n")
    [effect] = await bench.ledger.of_thread("t")
    assert mail["Message-ID"] == f"<{effect['key']}@ballast>"


async def test_a_refused_recipient_means_nothing_was_sent_and_the_servers_words_are_not_repeated(smtp: Any) -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        bench = smtp(port)
        refusal = await bench.refusal("send_email", **{**HI, "to": "nobody@example.com"})

    assert refusal == "nothing was sent: the mail server refused nobody@example.com (code 550)"
    assert await bench.states() == ["failed"]
    assert inbox.taken == []


async def test_a_dead_port_means_nothing_was_sent_and_the_mail_may_be_tried_again(smtp: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    assert "Connection refused" in await smtp(port).refusal("send_email", **HI)

    inbox = Inbox()
    async with serving(inbox) as port:
        bench = smtp(port)
        await bench.said("send_email", **HI)

    assert len(inbox.taken) == 1
    assert await bench.states() == ["done"]


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ({"GREETING": "554 go away"}, "code 554"),
        ({"EHLO": ""}, "closed"),
        ({"EHLO": "502 no", "HELO": "502 no"}, "code 502"),
        ({"MAIL": "451 later"}, "refused the sender ballast@localhost (code 451)"),
        ({"MAIL": ""}, "closed"),
        ({"RCPT": ""}, "closed"),
        ({"DATA": "503 no"}, "refused the text (code 503)"),
        ({"TEXT": "552 too big"}, "refused the text (code 552)"),
    ],
)
async def test_a_server_that_fails_before_it_takes_the_mail_leaves_no_doubt(
    smtp: Any, replies: dict[str, str], said: str
) -> None:
    async with answering(**replies) as port:
        bench = smtp(port)
        refusal = await bench.refusal("send_email", **HI)

    assert refusal.startswith("nothing was sent")
    assert said in refusal
    assert await bench.states() == ["failed"]


@pytest.mark.parametrize("reply", ["", "what?"])
async def test_a_server_that_is_gone_after_the_text_leaves_the_mail_in_doubt_and_it_is_not_sent_again(
    smtp: Any, reply: str
) -> None:
    async with answering(TEXT=reply) as port:
        bench = smtp(port)
        first, second = await bench.run("send_email", **HI), await bench.run("send_email", **HI)

    assert first.doubt
    assert (second.ok, second.reused) == (False, True)
    [effect] = await bench.ledger.of_thread("t")
    assert (effect["state"], effect["attempts"]) == ("unknown", 1)


async def test_a_rude_goodbye_does_not_undo_a_sent_mail(smtp: Any) -> None:
    async with answering(TEXT="250 OK", QUIT="500 no") as port:
        assert await smtp(port).said("send_email", **HI) == "sent to ann@example.com"


LOGIN = f"{USER}:{PASSWORD.replace('@', '%40').replace('/', '%2F')}@"


async def test_starttls_is_used_when_offered_and_the_login_goes_through_it(
    smtp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    inbox = Inbox()
    async with serving(inbox, starttls=context, login=True) as port:
        await smtp(port, login=LOGIN).said("send_email", **HI)
        refusal = await smtp(port, login=f"{USER}:wrong@").refusal("send_email", **{**HI, "subject": "Again"})

    assert (inbox.encrypted, inbox.users) == ([True], [b"ann", b"ann", b"ann"])  # two ways to log in were tried
    assert refusal == "nothing was sent: the mail server can't be used: it answered with code 535"


async def test_a_certificate_nobody_vouches_for_is_refused(smtp: Any, tmp_path: Path) -> None:
    inbox = Inbox()
    async with serving(inbox, starttls=certified(tmp_path)[0]) as port:
        refusal = await smtp(port).refusal("send_email", **HI)

    assert "CERTIFICATE_VERIFY_FAILED" in refusal
    assert inbox.taken == []


async def test_a_password_is_not_sent_without_encryption(smtp: Any) -> None:
    async with answering(EHLO="250-hi\r\n250 AUTH PLAIN", AUTH="235 welcome") as port:
        refusal = await smtp(port, login=LOGIN).refusal("send_email", **HI)

    assert "never sent without" in refusal


async def test_smtps_is_encrypted_from_the_first_byte(
    smtp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    inbox = Inbox()
    async with serving(inbox, wrapped=context) as port:
        await smtp(port, scheme="smtps").said("send_email", **HI)

    assert len(inbox.taken) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1", "smtp://ann:pa/word@127.0.0.1", "127.0.0.1:25"])
async def test_an_unusable_smtp_url_is_told_without_quoting_it(pool: Pool, tmp_path: Path, url: str) -> None:
    bench = bench_on(pool, tmp_path / "office", smtp_url=url)

    refusal = await bench.refusal("send_email", **HI)

    assert refusal == "nothing was sent: SMTP_URL is not of the form smtp://user:password@host:port"
