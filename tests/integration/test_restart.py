"""A process that is up while its Postgres restarts, or cuts every connection: the next run knows nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from app.lifespan import Opened, opened
from app.runs import Runs
from checkpoints.locks import ThreadLocks
from evals.chaos.postgres import OwnPostgres, own_postgres
from graph.context import Context
from services.settings import load
from tests.integration.conftest import LIST, ORDER, Script, calls, say

Disturbance = Callable[[OwnPostgres], None]


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnPostgres]:
    with own_postgres() as own:
        yield own


@pytest.fixture
async def engine(postgres: OwnPostgres, tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(load(database_url=postgres.url, home=tmp_path / "home", openai_api_key=None)) as everything:
        yield everything


@pytest.fixture
def runs(engine: Opened) -> Runs:
    return Runs(opened=engine, progress=lambda _node, _change: None)


async def _many(runs: Runs, script: Script, word: str) -> list[str]:
    """Outcomes of eight runs side by side, enough to need several connections each."""
    turns = [calls(LIST), say(word)]
    started = [runs.start("go", thread_id=f"{word} {n}", context=script(*turns)) for n in range(8)]
    return [report["outcome"] for report in await asyncio.gather(*started)]


@pytest.mark.parametrize("disturb", [OwnPostgres.restart, OwnPostgres.cut_all])
async def test_no_run_fails_after_it(postgres: OwnPostgres, runs: Runs, script: Script, disturb: Disturbance) -> None:
    word = disturb.__name__
    assert await _many(runs, script, f"before {word}") == ["completed"] * 8

    await asyncio.to_thread(disturb, postgres)

    assert await _many(runs, script, f"after {word}") == ["completed"] * 8


async def test_a_thread_that_waits_is_decided_and_goes_on_after_it(
    postgres: OwnPostgres, engine: Opened, runs: Runs, script: Script
) -> None:
    waiting = await runs.start("go", thread_id="waits", context=script(calls(ORDER), say("Ordered.")))
    [row] = waiting["approvals"]
    await asyncio.to_thread(postgres.restart)

    await engine.approvals.decide(row["id"], {"type": "approve"}, by="ann")
    resumed = await runs.resume("waits", context=Context())

    assert (waiting["outcome"], resumed["outcome"], resumed["answer"]) == ("awaiting_approval", "completed", "Ordered.")


async def test_a_run_that_asks_nothing_of_it_meanwhile_goes_on(
    postgres: OwnPostgres, runs: Runs, script: Script
) -> None:
    """It waits for its model while Postgres restarts."""
    context = script(calls(LIST), {**say("Awake."), "delay_s": 3})
    run = asyncio.create_task(runs.start("go", thread_id="sleeps", context=context))
    await _until_it_asks_its_model_again(runs)
    await asyncio.to_thread(postgres.restart)

    assert (await run)["answer"] == "Awake."


async def _until_it_asks_its_model_again(runs: Runs) -> None:
    """Its results are stored, so it has nothing to ask of Postgres. Bounded polling of Postgres itself."""
    for _ in range(5_000):
        snapshot = await runs.react.aget_state({"configurable": {"thread_id": "sleeps"}})
        if snapshot.next == ("reason",) and len(snapshot.values["messages"]) > 2:
            return
    pytest.fail("it never came to its second question")


async def test_a_lock_is_given_back_even_when_postgres_is_gone_and_taken_again_when_it_is_back(
    postgres: OwnPostgres, engine: Opened
) -> None:
    async with ThreadLocks.open(postgres.url) as locks:
        async with locks.hold("t"):
            await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)

        async with locks.hold("t"):
            pass
