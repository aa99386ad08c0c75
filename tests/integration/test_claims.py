"""Of two processes that believe they run a thread, only the one that took it last can write."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.types import INTERRUPT
from langgraph.types import Command

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.claims import CLAIM_KEY, HELD
from checkpoints.database import Pool, open_pool
from checkpoints.locks import ThreadLocks
from checkpoints.results import PostgresResults
from checkpoints.saver import PostgresSaver
from checkpoints.serde import serializer
from graph.context import LocalContext
from graph.errors import ThreadBusy, ThreadTaken
from graph.results import Whole
from tests.integration.conftest import LIST, Script, calls, say

ROWS = """
SELECT (SELECT json_agg(c ORDER BY checkpoint_id) FROM checkpoints c WHERE thread_id = %(t)s) AS checkpoints,
       (SELECT json_agg(b ORDER BY channel, version) FROM checkpoint_blobs b WHERE thread_id = %(t)s) AS blobs,
       (SELECT json_agg(w ORDER BY checkpoint_id, task_id, idx) FROM checkpoint_writes w
        WHERE thread_id = %(t)s) AS writes
"""


def _config(claim: Any, thread: str = "t", **more: Any) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", CLAIM_KEY: claim, **more}}


@pytest.fixture
async def saver(pool: Pool) -> PostgresSaver:
    return PostgresSaver(pool, serde=serializer(None))


async def _take(url: str, thread: str = "t") -> int:
    """As after a restart of Postgres: the lock of whoever ran the thread is gone, that run is not."""
    async with ThreadLocks.open(url) as locks, locks.hold(thread) as claim:
        return claim


async def _rows(pool: Pool, thread: str = "t") -> Any:
    async with pool.connection() as connection:
        return await (await connection.execute(ROWS, {"t": thread})).fetchone()


def _checkpoint(text: str) -> Any:
    return {**empty_checkpoint(), "channel_values": {"note": text}, "channel_versions": {"note": text}}


async def _put(saver: PostgresSaver, claim: Any, text: str = "x", thread: str = "t") -> Any:
    return await saver.aput(_config(claim, thread), _checkpoint(text), {"step": 1}, {"note": text})


@pytest.mark.parametrize(
    "writes",
    [[("note", "stale")], [(INTERRUPT, "stale")], [("note", "stale"), (INTERRUPT, "stale")], []],
)
async def test_a_run_whose_thread_was_taken_over_stores_nothing_more(
    pool: Pool, saver: PostgresSaver, database_url: str, writes: list[tuple[str, Any]]
) -> None:
    old = await _take(database_url)
    stored = (await _put(saver, old))["configurable"]["checkpoint_id"]
    await saver.aput_writes(_config(old, checkpoint_id=stored), [("note", "w"), ("rest", "w")], "task")
    await saver.aput_writes(_config(old, checkpoint_id=stored), [(INTERRUPT, "asked")], "task")
    new = await _take(database_url)
    before = await _rows(pool)

    with pytest.raises(ThreadTaken, match="another process has taken over thread t: it goes on there"):
        await _put(saver, old, "stale")
    for task in ("task", "another"):
        with pytest.raises(ThreadTaken):
            await saver.aput_writes(_config(old, checkpoint_id=stored), writes, task)

    assert await _rows(pool) == before
    await _put(saver, new, "fresh")
    await saver.aput_writes(_config(new, checkpoint_id=stored), [(INTERRUPT, "again")], "task")
    assert await _rows(pool) != before


async def test_a_writer_that_holds_no_thread_is_not_checked(
    pool: Pool, saver: PostgresSaver, database_url: str
) -> None:
    await _take(database_url)

    stored = await _put(saver, None)

    assert await saver.aget_tuple(stored) is not None


async def test_a_takeover_waits_for_a_write_in_flight_and_gives_up_on_a_long_one(
    pool: Pool, saver: PostgresSaver, database_url: str
) -> None:
    old = await _take(database_url)
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(f"WITH {HELD} SELECT 1 FROM held", {"thread_id": "t", "claim": old})  # noqa: S608
        with pytest.raises(ThreadBusy):
            await _take(database_url)

    assert await _take(database_url) > old  # the lock was given back


async def test_deleting_a_thread_ends_its_claim_and_no_token_comes_twice(
    pool: Pool, saver: PostgresSaver, database_url: str
) -> None:
    old = await _take(database_url)
    await _put(saver, old)

    await saver.adelete_thread("t")

    async with pool.connection() as connection:
        assert await (await connection.execute("SELECT * FROM claims")).fetchall() == []
    with pytest.raises(ThreadTaken):
        await _put(saver, old)
    assert await _take(database_url) != old
    with pytest.raises(ThreadTaken):
        await _put(saver, old)


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_run_that_was_taken_over_or_whose_thread_is_gone_keeps_no_result(
    pool: Pool, saver: PostgresSaver, database_url: str, *, deleted: bool
) -> None:
    results = PostgresResults(pool, serializer(None))
    wholes = [Whole(tool="f", text=text) for text in ("one", "two")]
    old = await _take(database_url)
    assert await results.keep("t", wholes[:1], claim=old)
    await (saver.adelete_thread("t") if deleted else _take(database_url))

    with pytest.raises(ThreadTaken):
        await results.keep("t", wholes, claim=old)

    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT handle FROM results")).fetchall()
    assert [row["handle"] for row in rows] == ([] if deleted else [wholes[0].handle])


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(writers=st.lists(st.integers(1, 6), min_size=2, max_size=8))
def test_of_many_claimants_that_write_at_once_none_writes_after_a_newer_one_has_claimed(
    database_url: str, writers: list[int]
) -> None:
    asyncio.run(_race(database_url, writers, f"race {uuid.uuid4()}"))


async def _race(url: str, writers: list[int], thread: str) -> None:
    async with open_pool(url) as pool:
        saver = PostgresSaver(pool, serde=serializer(None))
        claimed: list[int] = []
        told: list[int] = []

        async def claim_and_write(writes: int) -> None:
            for _ in range(100):
                try:
                    claim = await _take(url, thread)
                    break
                except ThreadBusy:
                    continue
            claimed.append(claim)
            for position in range(writes):
                newest = max(claimed)
                try:
                    await _put(saver, claim, f"{claim} {position}", thread)
                except ThreadTaken:
                    told.append(claim)
                else:
                    assert claim == newest, "a stale write was stored"

        await asyncio.gather(*map(claim_and_write, writers))
        rows = [item.checkpoint["channel_values"]["note"] async for item in saver.alist(_config(None, thread))]
        assert {row.split()[0] for row in rows} <= {str(claim) for claim in claimed}
        last = max(claimed)
        assert last not in told
        assert sum(row.startswith(f"{last} ") for row in rows) >= 1


async def test_a_caller_can_not_bring_a_claim_of_its_own(runs: Runs, script: Script, services: Opened) -> None:
    config = _config(-1)

    result = await runs.react.ainvoke({"messages": [HumanMessage("go")]}, config, context=script(say("done")))
    await runs.react.aupdate_state(config, {"reason": "by hand"}, as_node="reason")

    assert result["answer"] == "done"
    stored = [item.metadata async for item in services.saver.alist(_config(None))]
    assert len(stored) > 3
    assert not any("claim" in key for metadata in stored for key in metadata)


async def test_nobody_edits_a_state_while_its_thread_runs(runs: Runs, script: Script) -> None:
    context = script(calls(LIST), say("done"))
    stream = runs.react.astream({"messages": [HumanMessage("go")]}, _config(None), context=context)
    await anext(stream)

    with pytest.raises(ThreadBusy, match="thread t is being run"):
        await runs.react.aupdate_state(_config(None), {"reason": "by hand"}, as_node="reason")
    with pytest.raises(ThreadBusy):
        await runs.react.ainvoke(Command(goto="__end__"), _config(None))

    async for _ in stream:
        pass
    assert (await runs.known("t")).values["answer"] == "done"
    await runs.react.aupdate_state(_config(None), {"reason": "by hand"}, as_node="reason")
    assert (await runs.known("t")).values["reason"] == "by hand"


async def test_a_run_whose_thread_is_taken_over_ends_with_one_error(
    runs: Runs, script: Script, services: Opened, database_url: str, pool: Pool
) -> None:
    """Between two of its steps the lock's connection is cut and another process takes the thread."""

    async def takes(node: str) -> None:
        if node == "act":
            connection = services.locks._connection
            assert connection is not None
            async with pool.connection() as killer:
                await killer.execute("SELECT pg_terminate_backend(%s, 20000)", (connection.info.backend_pid,))
            await _take(database_url)

    left: list[Any] = []

    async def run() -> None:
        context = script(calls(LIST), calls(LIST), say("done"))
        asked: Any = {"messages": [HumanMessage("go")]}
        async for chunk in runs.react.astream(asked, _config(None), context=context, stream_mode="updates"):
            await takes(next(iter(chunk)))
            left.append(await _rows(pool))

    with pytest.raises(ThreadTaken):
        await run()

    assert await _rows(pool) == left[-1]
    assert (await runs.resume("t", context=LocalContext()))["answer"] == "done"
