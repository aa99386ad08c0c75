"""Postgres restarts, is cut off, is full or read-only in the middle of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.errors import AdminShutdown, DiskFull, LockNotAvailable
from psycopg_pool import PoolTimeout

from app.lifespan import opened
from app.runs import Runs
from checkpoints.database import open_pool
from checkpoints.outage import passes, patient
from checkpoints.saver import PostgresSaver
from evals.chaos.postgres import OwnPostgres, own_postgres
from graph.errors import DatabaseUnavailable
from services.settings import load
from tests.integration.conftest import LIST, Script, calls, say
from tests.integration.tools_bench import Bench
from tools.base import Injected, tool


@pytest.mark.parametrize("disturb", [OwnPostgres.restart, OwnPostgres.cut_all])
async def test_a_run_goes_on_and_completes(tmp_path: Path, script: Script, disturb: Any) -> None:
    """Disturbed three times, while its steps are written."""
    with own_postgres() as own:
        async with opened(load(database_url=own.url, home=tmp_path / "home", openai_api_key=None)) as services:
            steps = asyncio.Queue[str]()
            runs = Runs(opened=services, progress=lambda node, _: steps.put_nowait(node))
            limits = {"max_iterations": 100, "max_tool_calls": 100, "max_tokens": 1_000_000}
            context = script(*[calls(LIST)] * 60, say("done"), **limits)
            run = asyncio.create_task(runs.start("go", thread_id="t", context=context))
            for _ in range(3):
                for _ in range(10):
                    await steps.get()
                await asyncio.to_thread(disturb, own)
            report = await run

            assert (report["outcome"], report["answer"], report["usage"]["iterations"]) == ("completed", "done", 61)


@pytest.mark.parametrize(("idempotent", "reads"), [(True, 2), (False, 1)])
async def test_a_tool_whose_connection_is_cut_reads_again_and_does_nothing_twice(
    build: Callable[..., Bench], *, idempotent: bool, reads: int
) -> None:
    begun: list[str] = []

    @tool(risk="low", untrusted_output=False, idempotent=idempotent)
    async def look(context: Injected) -> str:
        """Look."""
        async with context.database() as connection:
            begun.append("look")
            query = "SELECT pg_terminate_backend(pg_backend_pid())" if len(begun) == 1 else "SELECT 1"
            await connection.execute(query)
        return "seen"

    result = await build(look).run("look")

    assert (result.ok, result.doubt is not None) == (idempotent, not idempotent)
    assert len(begun) == reads


async def test_a_database_that_takes_no_writes_is_named_at_once(runs: Runs, script: Script, database_url: str) -> None:
    await runs.start("go", thread_id="t", context=script(say("first")))
    url = make_conninfo(database_url, options="-cdefault_transaction_read_only=on")
    async with open_pool(url) as pool:
        saver = PostgresSaver(pool, serde=runs.opened.saver.serde)
        stored = await saver.aget_tuple({"configurable": {"thread_id": "t"}})
        assert stored is not None

        with pytest.raises(DatabaseUnavailable, match=r"takes no writes .*set DATABASE_URL"):
            await saver.aput_writes(stored.config, [("answer", "x")], "task")


async def test_a_full_database_is_named_and_not_asked_again() -> None:
    asked: list[int] = []

    async def write() -> None:
        asked.append(1)
        raise DiskFull("could not extend file")

    with pytest.raises(DatabaseUnavailable, match=r"the database is full .could not extend file.: make room, what is"):
        await patient(write)()

    assert asked == [1]


async def test_one_that_stays_away_is_given_up_on() -> None:
    asked: list[int] = []

    async def write() -> None:
        asked.append(1)
        raise psycopg.OperationalError("gone")

    with pytest.raises(psycopg.OperationalError, match="gone"):
        await patient(write, patience_s=0)()

    assert asked == [1, 1]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (AdminShutdown(), True),
        (LockNotAvailable(), False),
        (DiskFull(), False),
        (PoolTimeout(), False),
        (psycopg.errors.UniqueViolation(), False),
        (ValueError(), False),
    ],
)
def test_only_what_passes_is_asked_again(error: Exception, again: bool) -> None:  # noqa: FBT001 - a table's column
    assert passes(error) is again
