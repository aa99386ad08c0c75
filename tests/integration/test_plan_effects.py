"""Effects of a plan that are equal, in doubt, or held: each happens once, whatever ended before it or was lost."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.ledger import Ledger
from checkpoints.saver import PostgresSaver
from graph.context import Context
from graph.errors import ToolFailed
from services.endpoints import endpoints_of
from services.settings import load
from tests.integration.conftest import Script, decide, ids_of, say
from tests.integration.planning import Desk, plan, runs_at, stands, task
from tests.integration.recording import with_parts
from tools.base import tool
from tools.execute import Executor
from tools.registry import ToolBox


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def runs(desk: Desk, services: Opened) -> Runs:
    return runs_at(desk, services)


async def test_an_equal_effect_of_a_later_plan_happens_too_whichever_of_the_first_ended_last(
    runs: Runs, script: Script, desk: Desk
) -> None:
    desk.gates["slow"] = asyncio.Event()
    first = plan(
        task("s", "lookup", id="slow"),
        task("q", "lookup", id="quick"),
        task("a", "note", "s", text="same"),
        task("b", "note", "q", text="same"),
        task("f", "broken", id="gone"),
    )
    context = script(say("Done."), lists={"planner": [first, plan(task("c", "note", text="same"))]})

    running = asyncio.create_task(runs.start("go", thread_id="t", context=context, graph="plan"))
    while not desk.calls("note"):
        await asyncio.sleep(0)
        assert not running.done()
    desk.gates["slow"].set()

    assert (await running)["outcome"] == "completed"
    assert desk.calls("note") == ["same"] * 3


async def test_what_ended_before_a_crash_is_taken_for_no_other_task_when_the_rules_are_tighter_after_it(
    script: Script, services: Opened, desk: Desk
) -> None:
    """Of two calls a person let go the first was done; then it is held, and must not leave its place to the second."""
    tighter: list[str] = []
    happened: list[str] = []
    second = asyncio.Event()

    def rule(item: str) -> Any:
        return ("critical", "not any more") if item in tighter else None

    @tool(risk="high", untrusted_output=False, idempotent=False, raise_risk=rule)
    async def order(item: str) -> str:
        """Order something.

        Args:
            item: What.
        """
        if item == "second":
            await second.wait()
        happened.append(item)
        return f"ordered {item}"

    runs = runs_at(desk, services, order)
    tasks = [
        task("a", "order", item="first"),
        task("b", "order", item="second"),
        task("n", "note", text="$a"),
        task("q", "lookup", "n", id="q"),
    ]
    context = script(say("Done."), lists={"planner": [plan(*tasks)]})
    report = await runs.start("go", thread_id="t", context=context, graph="plan")
    for row in report["approvals"]:
        await decide(services, row["id"], "approve")
    running = asyncio.create_task(runs.resume("t", context=Context()))
    while not desk.calls("lookup"):
        await asyncio.sleep(0)
    running.cancel()
    await running

    tighter.append("first")
    second.set()
    report = await runs.resume("t", context=Context())

    [doubt] = [row for row in report["approvals"] if row["status"] == "pending"]
    assert (doubt["args"], happened) == ({"item": "second"}, ["first"])
    await decide(services, doubt["id"], "retry")
    assert (await runs.resume("t", context=Context()))["outcome"] == "completed"
    assert (happened, desk.calls("note")) == (["first", "second"], ["ordered first"])
