"""Who is told of which approval, when, and what becomes of it when that fails: real Postgres and HTTP."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from app.lifespan import Opened
from app.notifications import AT_ONCE, TRIES, by_webhook, deliver, pause_s, queues
from app.runs import Runs
from checkpoints import jobs
from graph.context import Context
from tests.integration.conftest import MAIL, ORDER, Script, calls, decide, ids_of, say
from tests.integration.notices_bench import ADDRESSES, asked, jobs_of, start, telling
from tests.webhook_receiver import BROKEN, IN_ADDRESS, KEY, OK, SECRET, Receiver, answer, receiving

BREAK: tuple[LiteralString, ...] = (
    "CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
    """
    CREATE TRIGGER break BEFORE INSERT ON approvals
    FOR EACH ROW WHEN (NEW.tool = 'place_order') EXECUTE FUNCTION break()
    """,
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(OK) as receiver:
        yield receiver


@pytest.fixture
async def hooked(database_url: str, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Opened]:
    """Services that tell the receiver."""
    async with telling(database_url, tmp_path, notify_webhook=receiver.url, notify_secret=SECRET) as everything:
        yield everything


async def test_nobody_is_told_unless_the_settings_say_so(services: Opened, script: Script) -> None:
    await asked(services, script)

    assert await jobs_of(services) == []
    assert queues(services) == []


async def test_each_new_approval_is_told_once_by_each_way(
    database_url: str, tmp_path: Path, script: Script, receiver: Receiver
) -> None:
    ways = {"notify_webhook": receiver.url, "notify_secret": SECRET, "notify_mail": ADDRESSES, "smtp_url": "smtp://m"}
    async with telling(database_url, tmp_path, **ways) as everything:
        report = await start(everything, script(calls(MAIL, ORDER), say("done")))
        await Runs(opened=everything, progress=lambda *_: None).resume("t", context=Context())  # asked again

        told = await jobs_of(everything)

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
        await start(hooked, script(calls(MAIL, ORDER), say("done")))

    assert await jobs_of(hooked) == []


async def test_the_webhook_is_told_under_the_approvals_id_without_its_arguments(
    hooked: Opened, script: Script, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    approval = await asked(hooked, script)
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
    approval = await asked(hooked, script)
    if fate == "decided":
        await decide(hooked, approval, "reject")
    else:
        async with hooked.pool.connection() as connection:
            await connection.execute("DELETE FROM approvals")

    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval)

    assert receiver.posts == []
    assert len(await jobs_of(hooked)) == 1  # the one it was asked with


async def test_a_failure_is_one_line_and_another_job_by_postgres_clock(
    hooked: Opened, script: Script, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = (BROKEN,)
    approval = await asked(hooked, script)

    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval)
    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval, tried=2)

    _, first, third = await jobs_of(hooked)
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
    approval = await asked(hooked, script)

    await deliver(hooked, jobs.WEBHOOK, by_webhook(hooked), approval_id=approval, tried=tried)

    assert len(await jobs_of(hooked)) == 1
    [line] = [record for record in caplog.records if record.name == "app.notifications"]
    assert line.levelname == "ERROR"
    assert f"given up after {tried + 1} tries: HTTP {status}" in line.getMessage()
    assert (await hooked.approvals.get(approval)).status == "pending"


async def test_a_bug_is_tried_again_like_any_failure_and_told_without_its_words(
    hooked: Opened, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_row: Any) -> None:
        raise KeyError(IN_ADDRESS)

    approval = await asked(hooked, script)

    await deliver(hooked, jobs.WEBHOOK, broken, approval_id=approval)

    assert len(await jobs_of(hooked)) == 2
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
