"""A call asked about as an equal earlier one stays that one; equal calls of one step are asked about in turn."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.ledger import Database, Ending, Ledger, settle
from graph.context import Context
from graph.errors import ThreadTaken
from tests.integration.conftest import Script, calls, decide, say
from tests.integration.test_doubt import RING, Bell
from tests.integration.test_doubt_repeated import WANTED, _breaks, _never


async def _rings(_key: str, _database: Database) -> tuple[Ending, str]:
    return "done", "rang"


async def _pending(services: Opened) -> list[Any]:
    return await services.approvals.find(thread_id="t", pending=True)


async def _given_up(runs: Runs, services: Opened, script: Script, *then: dict[str, Any]) -> dict[str, Any]:
    """A ring in doubt was given up; the model's next turns are played until a person is asked."""
    first = await runs.start("go", thread_id="t", context=script(calls(RING), *then, say("done"), say("done")))
    await decide(services, first["approvals"][0]["id"], "abandon")
    return await runs.resume("t", context=Context())


async def _replay_second_act(runs: Runs) -> dict[str, Any]:
    config: Any = {"configurable": {"thread_id": "t"}}
    after_first = [
        one
        async for one in runs.react.aget_state_history(config)
        if one.next == ("act",) and one.values.get("intents") and "effect_key" not in one.values["calls"][0]
    ]
    return await runs.replay("t", after_first[-1].config["configurable"]["checkpoint_id"])


@pytest.mark.parametrize(("kind", "state"), [("retry", "done"), ("done", "done"), ("abandon", "failed")])
async def test_what_a_person_settled_for_an_equal_earlier_call_is_not_run_by_a_replay(
    services: Opened, script: Script, kind: str, state: str
) -> None:
    bell = Bell()
    runs = bell.engine(services)
    await _given_up(runs, services, script, calls(RING))
    [row] = await _pending(services)
    await decide(services, row.id, kind)
    assert (await runs.resume("t", context=Context()))["outcome"] == "completed"
    tries = bell.tries

    report = await _replay_second_act(runs)

    assert (report["outcome"], bell.tries) == ("completed", tries)
    assert [effect["state"] for effect in await services.ledger.of_thread("t")] == [state]


@pytest.mark.parametrize(("answer", "tries"), [(True, 1), (False, 2)])
async def test_what_a_check_settled_for_an_equal_earlier_call_is_not_run_by_a_replay(
    services: Opened,
    script: Script,
    answer: bool,  # noqa: FBT001 - a parameter of the test
    tries: int,
) -> None:
    async def verify(bell: str, context: Any) -> bool:
        return answer

    bell = Bell()
    first = await bell.engine(services).start(
        "go", thread_id="t", context=script(calls(RING), calls(RING), say("done"), say("done"))
    )
    await decide(services, first["approvals"][0]["id"], "abandon")
    runs = bell.engine(services, bell.tool(verify=verify))
    assert (await runs.resume("t", context=Context()))["outcome"] == "completed"
    assert bell.tries == tries

    await _replay_second_act(runs)

    assert bell.tries == tries
    assert len(set(bell.keys)) == 1


async def test_a_redirected_call_of_a_tool_that_is_gone_is_told_what_became_of_the_earlier_one(
    services: Opened,
) -> None:
    ledger, again = Ledger(services.pool), replace(WANTED, occurrence=1)
    first = await ledger.run_once(_breaks, WANTED, transactional=False)
    await ledger.run_once(_never, again, transactional=False)

    found = await ledger.earlier(again)

    assert found
    assert (found.key, found.state) == (first.key, "unknown")


async def test_a_transactional_call_is_redirected_for_good(services: Opened) -> None:
    ledger, again = Ledger(services.pool), replace(WANTED, occurrence=1)
    first = await ledger.run_once(_breaks, WANTED, transactional=False)
    await ledger.run_once(_never, again, transactional=True)
    async with services.pool.connection() as connection:
        await settle(connection, first.key, "done", "it happened", thread_id="t")

    found = await ledger.run_once(_never, again, transactional=True)

    assert (found.key, found.state, found.result) == (first.key, "done", "it happened")


async def test_a_fenced_run_redirects_and_reopens_nothing(services: Opened) -> None:
    ledger = Ledger(services.pool)
    first = await ledger.run_once(_breaks, WANTED, transactional=False)
    async with services.pool.connection() as connection:
        await settle(connection, first.key, "failed", "given up", thread_id="t", abandoned=True)
        await connection.execute("INSERT INTO claims (thread_id) VALUES ('t')")

    with pytest.raises(ThreadTaken):
        await ledger.run_once(_never, replace(WANTED, occurrence=1, claim=-1), transactional=False)

    async with services.pool.connection() as connection:
        redirected = await (await connection.execute("SELECT * FROM effects_same")).fetchall()
    assert (redirected, [row["state"] for row in await ledger.of_thread("t")]) == ([], ["failed"])


@pytest.mark.parametrize(
    ("kind", "tries", "states"),
    [
        ("retry", 3, [("done", 2), ("done", 1)]),
        ("done", 2, [("done", 1), ("done", 1)]),
    ],
)
async def test_of_two_equal_calls_in_a_step_the_second_is_its_own_once_the_first_is_settled(
    services: Opened, script: Script, kind: str, tries: int, states: list[tuple[str, int]]
) -> None:
    bell = Bell()
    runs = bell.engine(services)
    await _given_up(runs, services, script, calls(RING, RING))
    [row] = await _pending(services)
    await decide(services, row.id, kind)

    report = await runs.resume("t", context=Context())

    assert (report["outcome"], bell.tries) == ("completed", tries)
    assert [(effect["state"], effect["attempts"]) for effect in await services.ledger.of_thread("t")] == states
    assert report["usage"]["tool_calls"] == 3
    await _replay_second_act(runs)
    assert bell.tries == tries


async def test_of_two_equal_calls_in_a_step_the_second_is_asked_about_when_the_first_is_given_up(
    services: Opened, script: Script
) -> None:
    bell = Bell()
    runs = bell.engine(services)
    await _given_up(runs, services, script, calls(RING, RING))
    for kind in ("abandon", "retry"):
        [row] = await _pending(services)
        await decide(services, row.id, kind)
        report = await runs.resume("t", context=Context())

    assert (report["outcome"], bell.tries) == ("completed", 2)
    assert [(row["state"], row["attempts"]) for row in await services.ledger.of_thread("t")] == [("done", 2)]


async def test_the_second_waits_through_a_retry_that_is_cut_off_again(services: Opened, script: Script) -> None:
    bell = Bell(breaks=2)
    runs = bell.engine(services)
    await runs.start("go", thread_id="t", context=script(calls(RING, RING), say("done")))
    [row] = await _pending(services)
    await decide(services, row.id, "retry")
    await runs.resume("t", context=Context())
    assert bell.tries == 2
    [row] = await _pending(services)
    await decide(services, row.id, "done")

    report = await runs.resume("t", context=Context())

    assert (report["outcome"], bell.tries) == ("completed", 3)
    assert [effect["state"] for effect in await services.ledger.of_thread("t")] == ["done", "done"]


async def test_an_equal_call_approved_while_the_first_is_asked_about_waits_for_it(
    services: Opened, script: Script
) -> None:
    bell = Bell()
    runs = bell.engine(services, bell.tool(risk="high"))
    await runs.start("go", thread_id="t", context=script(calls(RING, RING), say("done")))
    first, second = await _pending(services)
    await decide(services, first.id, "approve")
    await runs.resume("t", context=Context())
    await decide(services, second.id, "approve")
    report = await runs.resume("t", context=Context())
    [doubt] = await _pending(services)
    assert (report["outcome"], bell.tries, bool(doubt.effect_key)) == ("awaiting_approval", 1, True)
    await decide(services, doubt.id, "retry")

    report = await runs.resume("t", context=Context())

    assert (report["outcome"], bell.tries) == ("completed", 3)
    assert [effect["state"] for effect in await services.ledger.of_thread("t")] == ["done", "done"]


async def test_a_retry_goes_before_an_equal_call_that_was_only_approved(services: Opened, script: Script) -> None:
    bell = Bell(breaks=2)
    runs = bell.engine(services, bell.tool(risk="high"))
    await runs.start("go", thread_id="t", context=script(calls(RING, RING), say("done")))
    first, second = await _pending(services)
    await decide(services, first.id, "approve")
    await runs.resume("t", context=Context())
    await decide(services, second.id, "approve")
    await runs.resume("t", context=Context())
    [doubt] = await _pending(services)
    await decide(services, doubt.id, "retry")

    await runs.resume("t", context=Context())

    assert [(row["state"], row["attempts"]) for row in await services.ledger.of_thread("t")] == [("unknown", 2)]


async def test_a_doubt_settled_while_an_equal_call_is_reserved_does_not_redirect_it(services: Opened) -> None:
    ledger, again = Ledger(services.pool), replace(WANTED, occurrence=1)
    first = await ledger.run_once(_breaks, WANTED, transactional=False)
    waits = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    async with services.pool.connection() as watching, services.pool.connection() as settling, settling.transaction():
        await settle(settling, first.key, "done", "it happened", thread_id="t")
        running = asyncio.create_task(ledger.run_once(_rings, again, transactional=False))
        settler = (settling.info.backend_pid,)
        while not (running.done() or await (await watching.execute(waits, settler)).fetchone()):
            await asyncio.wait({running}, timeout=0.01)

    recorded = await running

    assert (recorded.key, recorded.result) == (again.key, "rang")
    assert [(row["state"], row["result"]) for row in await ledger.of_thread("t")] == [
        ("done", "it happened"), ("done", "rang"),
    ]  # fmt: skip


async def test_one_asked_about_as_a_call_that_is_itself_redirected_later_follows_it(services: Opened) -> None:
    ledger, second, third = Ledger(services.pool), replace(WANTED, occurrence=1), replace(WANTED, occurrence=2)
    await ledger.run_once(_breaks, second, transactional=False)
    redirected = await ledger.run_once(_never, third, transactional=False)
    async with services.pool.connection() as connection:
        await settle(connection, redirected.key, "failed", "it did not happen", thread_id="t")
    await ledger.run_once(_breaks, WANTED, transactional=False)
    await ledger.run_once(_never, second, transactional=False)

    found = await ledger.run_once(_never, third, transactional=False)

    assert (redirected.key, found.key, found.state) == (second.key, WANTED.key, "unknown")


async def test_one_that_waits_is_reported_as_not_done_when_the_run_is_cancelled(
    services: Opened, script: Script
) -> None:
    runs = Bell().engine(services)
    await runs.start("go", thread_id="t", context=script(calls(RING, RING), say("never")))
    [row] = await _pending(services)
    await decide(services, row.id, "cancel")

    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "cancelled"
    assert "Not done: ring({'bell': 'front'})" in report["answer"]
    assert "In doubt, may have happened: ring({'bell': 'front'})" in report["answer"]
