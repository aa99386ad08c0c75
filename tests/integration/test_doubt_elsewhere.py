"""A key in a state binds to its own thread: in a copy or an edit it names no effect, and the call is a new one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.ledger import Database, Ending, Ledger, settle
from graph.context import Context
from tests.integration.conftest import Script, calls, decide, results_of, say
from tests.integration.test_doubt import RING, Bell
from tests.integration.test_doubt_repeated import WANTED, _breaks, _never


async def _victim(runs: Runs, services: Opened, script: Script) -> str:
    """A thread with an effect in doubt; gives its key."""
    await runs.start("go", thread_id="victim", context=script(calls(RING), say("done")))
    [row] = await services.approvals.find(thread_id="victim", pending=True)
    return row.effect_key or ""


async def _edited(runs: Runs, script: Script, key: str, status: str, as_node: str) -> None:
    await runs.start("go", thread_id="mine", context=script(say("hello"), say("done")))
    ring: dict[str, Any] = {"id": "c9", "name": "ring", "args": RING[1], "risk": "high", "reason": ""}
    message = {"role": "ai", "content": "", "tool_calls": [{"id": "c9", "name": "ring", "args": RING[1]}]}
    values = {"calls": [{**ring, "status": status, "effect_key": key}], "outcome": None, "messages": [message]}
    edited = await runs.react.aupdate_state((await runs.known("mine")).config, values, as_node=as_node)
    await runs.react.ainvoke(None, edited)


async def _states(services: Opened, thread: str) -> list[str]:
    return [row["state"] for row in await services.ledger.of_thread(thread)]


@pytest.mark.parametrize("at", [("ready", "reason"), ("ask", "act")])
@pytest.mark.parametrize(("kind", "tries"), [("approve", 2), ("reject", 1)])
async def test_a_key_of_another_thread_is_asked_about_once_as_a_new_call(
    services: Opened, script: Script, at: tuple[str, str], kind: str, tries: int
) -> None:
    bell = Bell()
    runs = bell.engine(services)
    key = await _victim(runs, services, script)
    await _edited(runs, script, key, *at)
    [row] = await services.approvals.find(thread_id="mine", pending=True)
    assert (row.effect_key, row.effect_holder, row.risk, "another thread" in row.reason) == (None, None, "high", True)

    await decide(services, row.id, kind)
    report = await runs.resume("mine", context=Context())

    assert (report["outcome"], bell.tries) == ("completed", tries)
    assert await _states(services, "victim") == ["unknown"]
    assert await _states(services, "mine") == ["done"] * (tries - 1)


async def test_a_result_of_another_thread_is_not_handed_out(services: Opened, script: Script) -> None:
    bell = Bell()
    runs = bell.engine(services)
    key = await _victim(runs, services, script)
    async with services.pool.connection() as connection:
        assert await settle(connection, key, "done", "the victim's secret", thread_id="victim")
    await _edited(runs, script, key, "ready", "reason")
    [row] = await services.approvals.find(thread_id="mine", pending=True)
    await decide(services, row.id, "approve")

    await runs.resume("mine", context=Context())

    assert (await results_of(runs, "mine"))["ring"] == "rang front"


async def test_a_copied_thread_asks_about_its_own_call(services: Opened, script: Script) -> None:
    bell = Bell()
    runs = bell.engine(services)
    await _victim(runs, services, script)
    await services.saver.acopy_thread("victim", "copy")
    await runs.resume("copy", context=Context())
    [row] = await services.approvals.find(thread_id="copy", pending=True)
    await decide(services, row.id, "approve")

    report = await runs.resume("copy", context=Context())

    assert (report["outcome"], bell.tries) == ("completed", 2)
    assert (await _states(services, "victim"), await _states(services, "copy")) == (["unknown"], ["done"])
    assert len(set(bell.keys)) == 2


async def test_the_ledger_settles_and_finds_nothing_by_a_key_of_another_thread(services: Opened) -> None:
    ledger = Ledger(services.pool)
    first = await ledger.run_once(_breaks, WANTED, transactional=False)
    async with services.pool.connection() as connection:
        assert not await settle(connection, first.key, "done", "forged", thread_id="other")
        assert await ledger.earlier(replace(WANTED, thread_id="other"), key=first.key) is None

    assert await _states(services, "t") == ["unknown"]


async def test_a_reservation_of_another_thread_is_not_put_in_doubt(services: Opened) -> None:
    owner, other = Ledger(services.pool), Ledger(services.pool)

    async def working(key: str, _database: Database) -> tuple[Ending, str]:
        await other.earlier(replace(WANTED, thread_id="other"), key=key)
        assert await _states(services, "t") == ["reserved"]
        return "done", "rang"

    assert (await owner.run_once(working, WANTED, transactional=False)).state == "done"


async def test_the_ledger_takes_over_no_failed_effect_of_another_thread(services: Opened) -> None:
    ledger = Ledger(services.pool)
    first = await ledger.run_once(_breaks, WANTED, transactional=False)
    async with services.pool.connection() as connection:
        await settle(connection, first.key, "failed", "it did not happen", thread_id="t")

    with pytest.raises(AssertionError, match="another thread"):
        await ledger.run_once(_never, replace(WANTED, thread_id="other"), transactional=False, key=first.key)

    assert await _states(services, "t") == ["failed"]
