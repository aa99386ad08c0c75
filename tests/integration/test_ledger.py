from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from checkpoints.database import Pool
from checkpoints.ledger import Database, Ending, Intent, Ledger, settle
from graph.errors import ThreadTaken

WANTED = Intent(thread_id="t", tool="send", args={"to": "ann"}, digest="d", occurrence=0)

KILLED = """
import asyncio, os, signal, sys
from checkpoints.database import open_pool
from checkpoints.ledger import Intent, Ledger
async def effect(key, database):
    async with database() as connection:
        await connection.execute("INSERT INTO done VALUES (%s)", (key,))
        os.kill(os.getpid(), signal.SIGKILL)
async def main():
    async with open_pool(sys.argv[1]) as pool:
        wanted = Intent(thread_id="t", tool="send", args={"to": "ann"}, digest="d", occurrence=0)
        await Ledger(pool).run_once(effect, wanted, transactional=sys.argv[2] == "transactional")
asyncio.run(main())
"""


class Effect:
    """Counts how often it really ran."""

    def __init__(self, *endings: Ending) -> None:
        self.endings, self.keys = list(endings), list[str]()

    async def __call__(self, key: str, _: Database) -> tuple[Ending, str]:
        self.keys.append(key)
        return self.endings.pop(0), f"run {len(self.keys)}"


async def _state(pool: Pool) -> list[tuple[str, Any, int]]:
    return [(row["state"], row["result"], row["attempts"]) for row in await Ledger(pool).of_thread("t")]


async def test_the_same_intent_gives_the_stored_result(pool: Pool) -> None:
    effect = Effect("done")

    first = await Ledger(pool).run_once(effect, WANTED, transactional=False)
    second = await Ledger(pool).run_once(effect, WANTED, transactional=False)

    assert (first.state, first.result, first.reused) == ("done", "run 1", False)
    assert (second.state, second.result, second.reused) == ("done", "run 1", True)
    assert effect.keys == [WANTED.key]


async def test_of_many_at_once_one_runs(pool: Pool) -> None:
    effect, ledger = Effect("done"), Ledger(pool)

    recorded = await asyncio.gather(*(ledger.run_once(effect, WANTED, transactional=True) for _ in range(6)))

    assert len(effect.keys) == 1
    assert {one.result for one in recorded} == {"run 1"}
    assert sum(not one.reused for one in recorded) == 1


async def test_what_failed_may_be_tried_again_and_what_is_unknown_may_not(pool: Pool) -> None:
    effect, ledger = Effect("failed", "unknown"), Ledger(pool)

    ends = [(await ledger.run_once(effect, WANTED, transactional=False)).state for _ in range(3)]

    assert ends == ["failed", "unknown", "unknown"]
    assert len(effect.keys) == 2
    assert await _state(pool) == [("unknown", "run 2", 2)]


@pytest.mark.parametrize("other", [{"thread_id": "u"}, {"digest": "e"}, {"occurrence": 1}])
async def test_another_thread_call_or_occurrence_is_another_intent(pool: Pool, other: dict[str, Any]) -> None:
    effect, ledger = Effect("done", "done"), Ledger(pool)
    fields = {"thread_id": "t", "tool": "send", "args": {"to": "ann"}, "digest": "d", "occurrence": 0, **other}

    await ledger.run_once(effect, WANTED, transactional=False)
    await ledger.run_once(effect, Intent(**fields), transactional=False)

    assert len(effect.keys) == 2


@pytest.mark.parametrize(
    ("kind", "rows", "then"),
    [("transactional", 0, "done"), ("outside", 1, "unknown")],
)
async def test_a_process_killed_in_the_middle_of_an_effect(
    pool: Pool, database_url: str, kind: str, rows: int, then: str
) -> None:
    """In one transaction neither effect nor row is left. An effect outside may have happened: never again blindly."""
    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE done (key TEXT)")
    program = [sys.executable, "-c", KILLED, database_url, kind]
    killed = await asyncio.to_thread(subprocess.run, program, check=False)
    assert killed.returncode == -9
    async with pool.connection() as connection:
        left = await (await connection.execute("SELECT count(*) AS n FROM done")).fetchone()
    effect = Effect("done")

    recorded = await Ledger(pool).run_once(effect, WANTED, transactional=kind == "transactional")

    assert left == {"n": rows}
    assert recorded.state == then
    assert len(effect.keys) == (1 if then == "done" else 0)


async def test_an_error_inside_a_transaction_leaves_nothing_of_the_effect(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE done (key TEXT)")

    async def half(key: str, database: Database) -> tuple[Ending, str]:
        try:
            async with database() as connection:
                await connection.execute("INSERT INTO done VALUES (%s)", (key,))
                await connection.execute("SELECT 1 / 0")
        except Exception as error:  # noqa: BLE001 - as `tools.execute` does: it raises nothing
            return "unknown", str(error)
        return "done", ""

    recorded = await Ledger(pool).run_once(half, WANTED, transactional=True)

    async with pool.connection() as connection:
        left = await (await connection.execute("SELECT count(*) AS n FROM done")).fetchone()
    assert (recorded.state, left) == ("failed", {"n": 0})
    assert await _state(pool) == [("failed", "division by zero", 1)]


async def test_what_the_commit_refuses_is_a_failed_effect(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE done (key TEXT UNIQUE DEFERRABLE INITIALLY DEFERRED)")

    async def twice(key: str, database: Database) -> tuple[Ending, str]:
        async with database() as connection:
            await connection.execute("INSERT INTO done SELECT %s FROM generate_series(1, 2)", (key,))
        return "done", "both"

    recorded = await Ledger(pool).run_once(twice, WANTED, transactional=True)

    [(state, result, attempts)] = await _state(pool)
    assert (recorded.state, state, attempts) == ("failed", "failed", 1)
    assert result == recorded.result
    assert "UniqueViolation" in recorded.result


async def test_results_hold_whatever_a_tool_says(pool: Pool) -> None:
    async def odd(_: str, __: Database) -> tuple[Ending, str]:
        return "done", "nul \0, half a pair \ud800"

    recorded = await Ledger(pool).run_once(odd, WANTED, transactional=False)

    assert (await _state(pool))[0][1] == recorded.result == "nul \\0, half a pair \\ud800"


async def test_a_check_of_one_attempt_settles_no_later_one(pool: Pool) -> None:
    """While the first attempt is checked, a person has it tried again, and that one falls into doubt too."""
    ledger, retried = Ledger(pool), Effect("unknown")

    async def slow_check(key: str) -> bool:
        async with pool.connection() as connection:
            assert await settle(connection, key, "failed", "a person says no", thread_id="t")
        await ledger.run_once(retried, WANTED, transactional=False)
        return True

    recorded = await ledger.run_once(Effect("unknown"), WANTED, transactional=False, verify=slow_check)

    assert retried.keys == [WANTED.key]
    assert recorded.state == "unknown"
    assert await _state(pool) == [("unknown", "run 1", 2)]


async def test_a_fenced_run_reserves_nothing(pool: Pool) -> None:
    effect = Effect("done")
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO claims (thread_id) VALUES ('t')")

    with pytest.raises(ThreadTaken):
        await Ledger(pool).run_once(effect, replace(WANTED, claim=-1), transactional=False)
    with pytest.raises(ThreadTaken):
        await Ledger(pool).run_once(effect, replace(WANTED, claim=-1), transactional=True)

    assert (effect.keys, await _state(pool)) == ([], [])
