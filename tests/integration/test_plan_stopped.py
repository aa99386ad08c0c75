"""A plan that is stopped by ctrl-C, or taken over by another process, in the middle of its tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.lifespan import Opened, opened
from app.runs import Runs
from checkpoints.database import Pool
from graph.context import Context
from graph.errors import ThreadTaken
from services.settings import load
from tests.integration.conftest import Script, say
from tests.integration.planning import Desk, plan, runs_at, stands, task

TASKS = (
    task("q", "lookup", id="quick"),
    task("m", "note", "q", text="m"),
    task("p", "lookup", "m", id="past"),
    task("s", "lookup", id="slow"),
    task("n", "note", "s", text="n"),
)
LEFT = "SELECT task_id, channel FROM checkpoint_writes WHERE thread_id = 't' AND channel IN ('__error__', '__return__')"
ROWS = """
SELECT (SELECT json_agg(c ORDER BY checkpoint_id) FROM checkpoints c) AS checkpoints,
       (SELECT json_agg(w ORDER BY checkpoint_id, task_id, idx) FROM checkpoint_writes w) AS writes,
       (SELECT json_agg(e ORDER BY position) FROM effects e) AS effects
"""


@pytest.fixture
def desk() -> Desk:
    return Desk(gates={"slow": asyncio.Event()})


@pytest.fixture
def runs(desk: Desk, services: Opened) -> Runs:
    return runs_at(desk, services)


async def _begun(runs: Runs, context: Any, desk: Desk) -> asyncio.Task[dict[str, Any]]:
    """A run whose quick branch is stored, while the slow task goes on."""
    running = asyncio.create_task(runs.start("go", thread_id="t", context=context, graph="plan"))
    while ("lookup", "past") not in desk.seen or desk.running["lookup"] > 1:
        await asyncio.sleep(0)
        assert not running.done()
    return running


async def _ask(pool: Pool, query: Any) -> list[Any]:
    async with pool.connection() as connection:
        return [tuple(row.values()) for row in await (await connection.execute(query)).fetchall()]


async def test_ctrl_c_keeps_what_ended_and_the_rest_goes_on(
    runs: Runs, script: Script, desk: Desk, services: Opened
) -> None:
    running = await _begun(runs, script(say("Done."), lists={"planner": [plan(*TASKS)]}), desk)

    running.cancel()
    report = await running

    assert report["outcome"] == "cancelled"
    channels = [row[1] for row in await _ask(services.pool, LEFT)]
    assert channels.count("__return__") >= 2
    assert "__error__" in channels  # LangGraph stores what a cancelled task ended with

    desk.gates["slow"].set()
    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "completed"
    assert set((await stands(runs)).values()) == {"done"}
    assert desk.calls("lookup").count("quick") == 1
    assert desk.calls("lookup").count("slow") == 2
    assert desk.calls("note") == ["m", "n"]
    assert report["usage"]["tool_calls"] == 5


async def test_ctrl_c_in_an_effect_leaves_it_in_doubt(runs: Runs, script: Script, desk: Desk) -> None:
    desk.gates["n"] = asyncio.Event()
    desk.gates["slow"].set()
    context = script(say("Done."), lists={"planner": [plan(*TASKS[3:])]})
    running = asyncio.create_task(runs.start("go", thread_id="t", context=context, graph="plan"))
    while "n" not in desk.calls("note"):
        await asyncio.sleep(0)
        assert not running.done()

    running.cancel()
    await running
    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "awaiting_approval"
    [row] = report["approvals"]
    assert (row["args"], "in doubt" in row["reason"]) == ({"text": "n"}, True)
    assert desk.calls("note") == ["n"]


async def test_a_process_whose_thread_is_taken_over_stores_nothing_more_and_begins_no_effect(
    runs: Runs, script: Script, desk: Desk, database_url: str, tmp_path: Path
) -> None:
    running, services = await _begun(runs, script(say("Done."), lists={"planner": [plan(*TASKS)]}), desk), runs.opened
    connection = services.locks._connection
    assert connection is not None
    await _ask(services.pool, f"SELECT pg_terminate_backend({connection.info.backend_pid}, 20000)")
    other = Desk()
    async with opened(load(database_url=database_url, home=tmp_path / "home", openai_api_key=None)) as elsewhere:
        report = await runs_at(other, elsewhere).resume("t", context=Context())
    before = await _ask(services.pool, ROWS)

    desk.gates["slow"].set()
    with pytest.raises(ThreadTaken):
        await running

    assert report["outcome"] == "completed"
    assert await _ask(services.pool, ROWS) == before
    assert (desk.calls("note"), other.calls("note")) == (["m"], ["n"])
    assert "quick" not in other.calls("lookup")
