"""`ballast results`: raw texts by a stranger, read on a terminal that obeys nothing of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256

import pytest
from pydantic import SecretStr

from app.person import person
from checkpoints.database import open_pool
from checkpoints.results import PostgresResults
from checkpoints.serde import serializer
from graph.results import Whole
from tests.acceptance.conftest import Ballast, Script, one_line

KEY = "a key of thirty-two characters.."
RAW = "[red]Dear[/red]\r\n\x1b[2J\x9b1A\u202e001 \x00 \U000e0041\u200b<script>alert(1)</script>\u2028end\n"
SHOWN = (
    "[red]Dear[/red]\n"
    r"\x1b[2J\x9b1A\u202e001 \0 \U000e0041\u200b<script>alert(1)</script>\u2028end"
    "\n"
)

Keep = Callable[..., Awaitable[None]]


@pytest.fixture
def keep(database_url: str) -> Keep:
    async def kept(thread: str, *wholes: Whole, key: str | None = None) -> None:
        async with open_pool(database_url, max_size=1) as pool:
            results = PostgresResults(pool, serializer(SecretStr(key) if key else None))
            for whole in wholes:
                await results.keep(thread, [whole], claim=None)

    return kept


@pytest.fixture
def thread(ballast: Ballast, script: Script) -> str:
    """One that has run, and kept nothing."""
    ran = ballast("run", "go", "--thread", "t", "--model", script({"content": "Done."}))
    assert ran.returncode == 0
    return "t"


async def test_results_are_listed_the_newest_last_and_read_safely(ballast: Ballast, thread: str, keep: Keep) -> None:
    mail, page = Whole(tool="read_mail", text=RAW), Whole(tool="get\x1b[2Jpage", text="plain")
    await keep(thread, mail, page)

    listed, raw = ballast("results", thread), ballast("results", thread, mail.handle)

    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert [row[:3] for row in rows] == [
        [mail.handle, "read_mail", str(len(RAW))],
        [page.handle, r"get\x1b[2Jpage", "5"],
    ]
    assert raw.stdout == f"{SHOWN}\n"
    assert raw.stderr == (
        f"{mail.handle}  read_mail: {len(RAW) + 1} characters; 6 that would not show are spelt out, "
        "such as \\x1b or \\u202e\n"
    )
    assert ballast("results", thread, page.handle).stderr == f"{page.handle}  get\\x1b[2Jpage: 5 characters\n"


async def test_as_json_a_text_is_exact_and_still_acts_on_no_terminal(ballast: Ballast, thread: str, keep: Keep) -> None:
    mail = Whole(tool="read_mail", text=RAW)
    await keep(thread, mail)

    [row] = json.loads(ballast("results", thread, "--json").stdout)
    done = ballast("results", thread, mail.handle, "--json")

    assert set(row) == {"handle", "tool", "characters", "created_at"}
    assert done.stdout.rstrip("\n").isprintable()
    assert done.stdout.isascii()
    assert json.loads(done.stdout) == {
        "thread_id": thread,
        "handle": mail.handle,
        "tool": "read_mail",
        "characters": len(RAW) + 1,
        "text": RAW.replace("\x00", "\\0"),  # Postgres text holds no NUL: it was shown when it was stored
    }


async def test_who_read_a_text_is_in_the_log_and_a_list_reads_none(ballast: Ballast, thread: str, keep: Keep) -> None:
    mail = Whole(tool="read_mail", text=RAW)
    await keep(thread, mail)

    ballast("results", thread)
    assert json.loads(ballast("audit", "--thread", thread, "--json").stdout) == []
    ballast("results", thread, mail.handle)
    [entry] = json.loads(ballast("audit", "--thread", thread, "--json").stdout)

    assert entry["actor"] == person()
    told = [entry[name] for name in ("action", "approval_id", "thread_id", "tool", "status")]
    assert told == ["open", "", thread, "read_mail", ""]
    assert entry["args_sha256"] == sha256(RAW.replace("\x00", r"\0").encode()).hexdigest()


async def test_what_is_not_there_is_one_line(ballast: Ballast, thread: str, keep: Keep) -> None:
    other = Whole(tool="read_mail", text="another thread's")
    await keep("u", other)

    assert ballast("results", thread).stdout == ""
    one_line(ballast("results", "nowhere"), 2, "no thread 'nowhere'")
    one_line(ballast("results", "nowhere", other.handle), 2, "no thread 'nowhere'")
    one_line(ballast("results", thread, other.handle), 2, f"no result '{other.handle}'", "ballast results t")
    one_line(ballast("results", thread, "\x1b[2J"), 2, "no result", "x1b[2J")


async def test_a_text_encrypted_with_another_key_is_one_line(ballast: Ballast, thread: str, keep: Keep) -> None:
    mail = Whole(tool="read_mail", text="for our eyes")
    await keep(thread, mail, key=KEY)

    assert ballast("results", thread, mail.handle, BALLAST_ENCRYPTION_KEY=KEY).stdout == "for our eyes\n"
    one_line(ballast("results", thread, mail.handle), 2, "BALLAST_ENCRYPTION_KEY")
