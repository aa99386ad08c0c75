"""Who is told of which approval, when, and what becomes of it when that fails: real Postgres, HTTP and SMTP."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from app.lifespan import Opened, opened
from app.notifications import AT_ONCE, TRIES, by_mail, by_webhook, deliver, pause_s, queues
from app.runs import Runs
from checkpoints import jobs
from graph.context import Context
from services.settings import load
from tests.integration.conftest import MAIL, ORDER, Script, calls, decide, ids_of, say
from tests.integration.smtp_bench import Inbox, answering, serving
from tests.webhook_receiver import BROKEN, IN_ADDRESS, KEY, OK, SECRET, Receiver, answer, receiving

JOBS = """
SELECT queue_name AS queue, args, scheduled_at - now() AS due FROM procrastinate_jobs
WHERE queue_name <> 'threads' ORDER BY id
"""
BREAK: tuple[LiteralString, ...] = (
    "CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
    """
    CREATE TRIGGER break BEFORE INSERT ON approvals
    FOR EACH ROW WHEN (NEW.tool = 'place_order') EXECUTE FUNCTION break()
    """,
)
ADDRESSES = "ann@example.com, bob@example.com"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(OK) as receiver:
        yield receiver


@asynccontextmanager
async def _told(database_url: str, home: Path, **settings: Any) -> AsyncIterator[Opened]:
    chosen = load(database_url=database_url, home=home, openai_api_key=None, **settings)
    async with opened(chosen) as everything:
        yield everything


@pytest.fixture
async def hooked(database_url: str, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Opened]:
    """Services that tell the receiver."""
    async with _told(database_url, tmp_path, notify_webhook=receiver.url, notify_secret=SECRET) as everything:
        yield everything


async def _start(everything: Opened, context: Any) -> dict[str, Any]:
    return await Runs(opened=everything, progress=lambda _node, _change: None).start(
        "order lamps", thread_id="t", context=context
    )


async def _jobs(everything: Opened) -> list[dict[str, Any]]:
    async with everything.pool.connection() as connection:
        rows: list[dict[str, Any]] = await (await connection.execute(JOBS)).fetchall()
    return rows


async def _asked(everything: Opened, script: Script) -> str:
    """The id of an approval that waits."""
    report = await _start(everything, script(calls(ORDER), say("done")))
    return ids_of(report)["place_order"]


async def test_nobody_is_told_unless_the_settings_say_so(services: Opened, script: Script) -> None:
    await _asked(services, script)

    assert await _jobs(services) == []
    assert queues(services) == []


async def test_each_new_approval_is_told_once_by_each_way(
    database_url: str, tmp_path: Path, script: Script, receiver: Receiver
) -> None:
    ways = {"notify_webhook": receiver.url, "notify_secret": SECRET, "notify_mail": ADDRESSES, "smtp_url": "smtp://m"}
    async with _told(database_url, tmp_path, **ways) as everything:
        report = await _start(everything, script(calls(MAIL, ORDER), say("done")))
        await Runs(opened=everything, progress=lambda *_: None).resume("t", context=Context())  # asked again

        told = await _jobs(everything)

        assert [queue.name for queue in queues(everything)] == ["webhook", "mail"]
        assert {queue.at_once for queue in queues(everything)} == {AT_ONCE}
    assert {(one["queue"], one["args"]["approval_id"], one["args"].get("to")) for one in told} == {
        (way, approval, to)
        for approval in ids_of(report).values()
        for way, to in (("webhook", None), ("mail", "ann@example.com"), ("mail", "bob@example.com"))
    }
    assert len(told) == 6


async def test_a_question_that_is_not_kept_is_not_told(hooked: Opened, script: Script) -> None:
    async with hooked.pool.connection() as connection:
        for statement in BREAK:
            await connection.execute(statement)

    with pytest.raises(psycopg.errors.RaiseException):
        await _start(hooked, script(calls(MAIL, ORDER), say("done")))

    assert await _jobs(hooked) == []


async def test_the_webhook_is_told_under_the_approvals_id_without_its_arguments(
    hooked: Opened, script: Script, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    approval = await _asked(hooked, script)
    [row] = await hooked.approvals.find()

    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval)
    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval)  # as after a crash

    first, second = receiver.posts
    assert (first.id, second.id) == (approval, approval)
    said = first.verified()
    assert said["data"] == {
        "id": approval,
        "thread_id": "t",
        "tool": "place_order",
        "risk": "high",
        "reason": row.reason,
        "requester": row.requester,
        "deadline": None,
        "link": f"http://127.0.0.1:2024/inbox/{approval}",
    }
    assert b"Desk lamp" not in first.body
    assert not any(secret in caplog.text for secret in (IN_ADDRESS, SECRET, KEY.decode()))


@pytest.mark.parametrize("fate", ["decided", "deleted"])
async def test_what_waits_no_longer_is_not_told(hooked: Opened, script: Script, receiver: Receiver, fate: str) -> None:
    approval = await _asked(hooked, script)
    if fate == "decided":
        await decide(hooked, approval, "reject")
    else:
        async with hooked.pool.connection() as connection:
            await connection.execute("DELETE FROM approvals")

    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval)

    assert receiver.posts == []
    assert len(await _jobs(hooked)) == 1  # the one it was asked with


async def test_a_failure_is_one_line_and_another_job_by_postgres_clock(
    hooked: Opened, script: Script, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = (BROKEN,)
    approval = await _asked(hooked, script)

    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval)
    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval, tried=2)

    _, first, third = await _jobs(hooked)
    assert first["args"] == {"approval_id": approval, "tried": 1}
    assert third["args"] == {"approval_id": approval, "tried": 3}
    assert timedelta(seconds=3) < first["due"] < timedelta(seconds=6)
    assert timedelta(seconds=35) < third["due"] < timedelta(seconds=54)
    told = [record.getMessage() for record in caplog.records if record.name == "app.notifications"]
    assert [line.split(", again in")[0] for line in told] == [f"approval {approval}: not told by webhook"] * 2
    assert all(line.endswith(": HTTP 500") and "\n" not in line for line in told)


@pytest.mark.parametrize(("status", "tried"), [(400, 0), (410, 3), (500, TRIES - 1)])
async def test_what_will_not_be_taken_is_given_up_and_the_approval_waits_on(  # noqa: PLR0913, PLR0917 - fixtures
    hooked: Opened,
    script: Script,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    status: int,
    tried: int,
) -> None:
    receiver.answers = (answer(status),)
    approval = await _asked(hooked, script)

    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval, tried=tried)

    assert len(await _jobs(hooked)) == 1
    [line] = [record for record in caplog.records if record.name == "app.notifications"]
    assert line.levelname == "ERROR"
    assert f"given up after {tried + 1} tries: HTTP {status}" in line.getMessage()
    assert (await hooked.approvals.get(approval)).status == "pending"


async def test_a_bug_is_tried_again_like_any_failure_and_told_without_its_words(
    hooked: Opened, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_row: Any) -> None:
        raise KeyError(IN_ADDRESS)

    approval = await _asked(hooked, script)

    await deliver(hooked, jobs.WEBHOOK, broken, approval_id=approval)

    assert len(await _jobs(hooked)) == 2
    assert "KeyError" in caplog.text
    assert IN_ADDRESS not in caplog.text


def test_pauses_grow_to_twenty_minutes_and_end_within_the_hour() -> None:
    middle = [pause_s(tried, again=True, chance=lambda _low, _high: 0) for tried in range(1, TRIES)]

    assert middle == [5, 15, 45, 135, 405, 1_200, 1_200]
    assert sum(middle) < 3_600


@pytest.mark.parametrize(("again", "pause"), [(2, 5), (60, 60), (1e9, 3_600)])
def test_who_said_when_is_not_asked_earlier_and_within_the_hour(again: float, pause: float) -> None:
    assert pause_s(1, again, chance=lambda _low, _high: 0) == pause


def test_what_failed_together_does_not_come_back_together() -> None:
    pauses = {pause_s(1, again=True) for _ in range(50)}

    assert len(pauses) > 40
    assert all(4 <= pause <= 6 for pause in pauses)


async def _mailed(everything: Opened, approval: str, *, to: str = "ann@example.com") -> None:
    await deliver(everything, jobs.MAIL, by_mail(everything), approval_id=approval, to=to)


async def test_each_address_gets_its_own_delivery_of_one_mail(
    database_url: str, tmp_path: Path, script: Script
) -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        ways = {"notify_mail": ADDRESSES, "smtp_url": f"smtp://127.0.0.1:{port}", "notify_from": "agent@example.com"}
        async with _told(database_url, tmp_path, **ways, public_url="https://b.example.com/x/") as everything:
            approval = await _asked(everything, script)
            for job in await _jobs(everything):
                await deliver(everything, job["queue"], by_mail(everything), **job["args"])

    assert [(one.mail_from, one.rcpt_tos) for one in inbox.taken] == [
        ("agent@example.com", ["ann@example.com"]),
        ("agent@example.com", ["bob@example.com"]),
    ]
    assert {mail["Message-ID"] for mail in inbox.mails} == {f"<{approval}@ballast>"}
    [mail, _] = inbox.mails
    assert (mail["Subject"], mail["To"]) == ("Approval needed: place_order (high)", ADDRESSES)
    text = mail.get_content()
    assert f"Decide: https://b.example.com/x/inbox/{approval}" in text
    assert "Reason:    spends money on an order" in text
    assert "Desk lamp" not in text


@pytest.mark.parametrize(
    ("replies", "again", "told"),
    [
        ({"RCPT": "550 nobody here"}, False, "refused ann@example.com (code 550)"),
        ({"RCPT": "451 later"}, True, "refused ann@example.com (code 451)"),
        ({"MAIL": "553 who are you"}, False, "refused the sender ballast@localhost (code 553)"),
        ({"GREETING": "421 busy"}, True, "it answered with code 421"),
        ({"GREETING": "554 go away"}, False, "it answered with code 554"),
        ({"EHLO": ""}, True, "closed"),
        ({"TEXT": "452 full"}, True, "refused the text (code 452)"),
        ({"TEXT": "552 too big"}, False, "refused the text (code 552)"),
        ({"TEXT": ""}, True, "cut off after the text: it may have been sent"),
    ],
)
async def test_a_mail_server_is_asked_again_unless_its_answer_is_final(  # noqa: PLR0913, PLR0917 - fixtures
    database_url: str,
    tmp_path: Path,
    script: Script,
    caplog: pytest.LogCaptureFixture,
    replies: dict[str, str],
    again: bool,  # noqa: FBT001 - a column of the table
    told: str,
) -> None:
    async with answering(**replies) as port:
        ways = {"notify_mail": "ann@example.com", "smtp_url": f"smtp://127.0.0.1:{port}"}
        async with _told(database_url, tmp_path, **ways) as everything:
            approval = await _asked(everything, script)
            await _mailed(everything, approval)
            later = [job["args"] for job in await _jobs(everything)][1:]

    assert later == ([{"approval_id": approval, "tried": 1, "to": "ann@example.com"}] if again else [])
    assert told in caplog.text


async def test_no_password_is_told_when_the_mail_server_is_not_there(
    database_url: str, tmp_path: Path, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    ways = {"notify_mail": "ann@example.com", "smtp_url": f"smtp://ann:hunter2@127.0.0.1:{port}"}
    async with _told(database_url, tmp_path, **ways) as everything:
        await _mailed(everything, await _asked(everything, script))
        assert len(await _jobs(everything)) == 2

    assert "Connection refused" in caplog.text
    assert "hunter2" not in caplog.text


async def test_an_address_the_settings_no_longer_name_gets_nothing(
    database_url: str, tmp_path: Path, script: Script
) -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        ways = {"notify_mail": "ann@example.com", "smtp_url": f"smtp://127.0.0.1:{port}"}
        async with _told(database_url, tmp_path, **ways) as everything:
            await _mailed(everything, await _asked(everything, script), to="left@example.com")
            assert len(await _jobs(everything)) == 1

    assert inbox.taken == []
