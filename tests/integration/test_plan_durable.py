"""An effect begins when the results its arguments may come from are stored: made again, they might be others."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.saver import PostgresSaver
from tests.integration.conftest import Script, say
from tests.integration.planning import Desk, plan, runs_at, task

TASKS = [
    task("a", "lookup", id="x"),
    task("n", "note", text="$a.id"),
    task("r", "lookup", id="$a.id"),
]


class GatedSaver(PostgresSaver):
    """Stores no result of a task before its gate is open."""

    gate: asyncio.Event
    refuses: bool = False

    async def _write(self, statement: Any, row: dict[str, Any]) -> None:
        if "__return__" in row["channels"] and self.refuses:
            raise ValueError("disk full")
        if "__return__" in row["channels"]:
            await self.gate.wait()
        await super()._write(statement, row)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def saver(services: Opened) -> GatedSaver:
    saver = GatedSaver(services.pool, serde=services.saver.serde)
    saver.gate = asyncio.Event()
    return saver


@pytest.fixture
def runs(desk: Desk, services: Opened, saver: GatedSaver) -> Runs:
    at_desk = runs_at(desk, services).opened
    within = dataclasses.replace(at_desk.services, writes=saver)
    return Runs(opened=dataclasses.replace(at_desk, saver=saver, services=within), progress=lambda _node, _change: None)


async def test_an_effect_waits_until_what_it_was_made_of_is_stored_and_a_read_does_not(
    runs: Runs, script: Script, desk: Desk, saver: GatedSaver
) -> None:
    context = script(say("Done."), lists={"planner": [plan(*TASKS)]})
    running = asyncio.create_task(runs.start("go", thread_id="t", context=context, graph="plan"))
    while desk.calls("lookup") != ["x", "<x>"]:
        await asyncio.sleep(0)
        assert not running.done()
    for _ in range(100):
        await asyncio.sleep(0)
    assert desk.calls("note") == []

    saver.gate.set()

    assert (await running)["outcome"] == "completed"
    assert desk.calls("note") == ["<x>"]


async def test_an_effect_does_not_begin_when_they_can_not_be_stored(
    runs: Runs, script: Script, desk: Desk, saver: GatedSaver
) -> None:
    saver.refuses = True
    context = script(say("never"), lists={"planner": [plan(*TASKS)]})

    with pytest.raises(ValueError, match="disk full"):
        await runs.start("go", thread_id="t", context=context, graph="plan")

    assert desk.calls("note") == []
