"""Making the same call once more does not get round a doubt, and a decision is about the attempt it was asked about."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from app.lifespan import Opened
from checkpoints.ledger import Database, Ending, Intent, Ledger
from graph.context import Context
from tests.integration.conftest import Script, calls, decide, say
from tests.integration.test_doubt import RING, Bell

WANTED = Intent(thread_id="t", tool="send", args={"to": "ann"}, digest="d", occurrence=0)


async def _breaks(_key: str, _database: Database) -> tuple[Ending, str]:
    return "unknown", "cut off"


async def _never(_key: str, _database: Database) -> tuple[Ending, str]:
    raise AssertionError("it ran")


async def test_the_same_call_after_it_was_given_up_is_asked_about_again(services: Opened, script: Script) -> None:
    bell = Bell()
    runs = bell.engine(services)
    first = await runs.start("go", thread_id="t", context=script(calls(RING), calls(RING), say("done")))
    await decide(services, first["approvals"][0]["id"], "abandon")

    again = await runs.resume("t", context=Context())

    [row] = [row for row in again["approvals"] if row["status"] == "pending"]
    assert (again["outcome"], row["effect_key"], bell.tries) == (
        "awaiting_approval", first["approvals"][0]["effect_key"], 1,
    )  # fmt: skip


async def test_the_same_call_of_a_new_request_after_a_cancelled_one_is_asked_about(
    services: Opened, script: Script
) -> None:
    bell = Bell()
    runs = bell.engine(services)
    first = await runs.start("go", thread_id="t", context=script(calls(RING), say("never")))
    await decide(services, first["approvals"][0]["id"], "cancel")
    assert (await runs.resume("t", context=Context()))["outcome"] == "cancelled"

    again = await runs.start("again", thread_id="t", context=script(calls(RING), say("done")))

    assert (again["outcome"], bell.tries) == ("awaiting_approval", 1)


async def test_a_doubt_can_be_settled_after_its_run_was_cancelled(services: Opened, script: Script) -> None:
    bell = Bell()
    runs = bell.engine(services)
    first = await runs.start("go", thread_id="t", context=script(calls(RING), say("never")))
    approval = first["approvals"][0]["id"]
    await decide(services, approval, "cancel")
    await runs.resume("t", context=Context())

    await decide(services, approval, "done", message="it rang")

    assert [(row["state"], row["result"]) for row in await services.ledger.of_thread("t")] == [("done", "it rang")]


async def test_a_decision_settles_no_later_attempt_than_the_one_asked_about(services: Opened, script: Script) -> None:
    bell = Bell(breaks=2)
    runs = bell.engine(services)
    report = await runs.start("go", thread_id="t", context=script(calls(RING), say("done")))
    [row] = report["approvals"]
    async with services.pool.connection() as connection:  # meanwhile another attempt fell into doubt
        await connection.execute("UPDATE effects SET holder = 'another', attempts = 2")

    await decide(services, row["id"], "done")
    again = await runs.resume("t", context=Context())

    assert again["outcome"] == "awaiting_approval"
    assert [effect["state"] for effect in await services.ledger.of_thread("t")] == ["unknown"]
    assert [one["status"] for one in again["approvals"]] == ["pending", "done"]


async def test_a_retry_runs_although_all_tool_calls_are_used_up(services: Opened, script: Script) -> None:
    bell = Bell()
    runs = bell.engine(services)
    first = await runs.start("go", thread_id="t", context=script(calls(RING), say("done"), max_tool_calls=1))
    await decide(services, first["approvals"][0]["id"], "retry")

    report = await runs.resume("t", context=Context())

    assert (report["outcome"], bell.tries, report["usage"]["tool_calls"]) == ("completed", 2, 1)


async def test_a_fenced_run_puts_no_reservation_of_the_new_owner_in_doubt(services: Opened) -> None:
    owner, fenced = Ledger(services.pool), Ledger(services.pool)
    async with services.pool.connection() as connection:
        await connection.execute("INSERT INTO claims (thread_id) VALUES ('t')")
    stale = replace(WANTED, claim=-1)

    async def working(key: str, _database: Database) -> tuple[Ending, str]:
        await fenced.earlier(stale, key=key)
        return "done", "by the owner"

    recorded = await owner.run_once(working, WANTED, transactional=False)

    assert recorded.state == "done"


async def test_an_earlier_call_in_doubt_stands_in_the_way_of_the_next_until_it_is_settled(services: Opened) -> None:
    ledger = Ledger(services.pool)
    first = await ledger.run_once(_breaks, WANTED, transactional=False)

    later = await ledger.run_once(_never, replace(WANTED, occurrence=1), transactional=False)

    assert (later.state, later.key) == ("unknown", first.key)


async def test_a_call_with_a_result_of_its_own_is_given_that_though_an_equal_one_is_in_doubt(services: Opened) -> None:
    ledger = Ledger(services.pool)
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow(_key: str, _database: Database) -> tuple[Ending, str]:
        begun.set()
        await end.wait()
        return "unknown", "cut off"

    async def fine(_key: str, _database: Database) -> tuple[Ending, str]:
        return "done", "rang"

    first = asyncio.create_task(ledger.run_once(slow, WANTED, transactional=False))
    await begun.wait()
    await ledger.run_once(fine, replace(WANTED, occurrence=1), transactional=False)
    end.set()
    await first

    again = await ledger.run_once(_never, replace(WANTED, occurrence=1), transactional=False)

    assert (again.state, again.result) == ("done", "rang")
