from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from graph.errors import BadSetting
from graph.state import Call
from graph.tools import Step, ToolResult
from tests.integration.conftest import LIST, ORDER, READ, Script, calls, messages_of, say


class Broken:
    """A part that works but for one method, which fails in a way nobody foresaw."""

    def __init__(self, whole: Any, method: str) -> None:
        self._whole, self._method = whole, method

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            raise KeyError("a bug")
        return getattr(self._whole, name)


@pytest.mark.parametrize(
    ("part", "method", "outcome", "node"),
    [
        ("models", "complete", "model_failed", "reason"),
        ("tools", "run", "tool_failed", "act"),
        ("approvals", "ask", "tool_failed", "approve"),
    ],
)
async def test_a_node_that_breaks_ends_the_run_typed_with_what_was_left(  # noqa: PLR0913, PLR0917 - a table
    services: Opened, script: Script, part: str, method: str, outcome: str, node: str
) -> None:
    broken: Any = {part: Broken(getattr(services.services, part), method)}
    engine = dataclasses.replace(services, services=dataclasses.replace(services.services, **broken))
    runs = Runs(opened=engine, progress=lambda _node, _change: None)
    turn = calls(("place_order", {"item": "Lamp", "quantity": 1, "unit_price": 1.0})) if part == "approvals" else None

    report = await runs.start("go", thread_id="t", context=script(turn or calls(LIST, READ), say("never")))

    assert report["outcome"] == outcome
    assert report["answer"].startswith(f"Stopped: {node} failed: KeyError")
    assert all(message.type != "ai" or message.text != "never" for message in await messages_of(runs, "t"))


class BreaksOnce:
    """Tools of which one does its work, and the other breaks."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    async def run(self, call: Call, step: Step, *, occurrence: int) -> ToolResult:
        if call["name"] == "read_file":
            raise KeyError("a bug")
        result: ToolResult = await self._whole.run(call, step, occurrence=occurrence)
        return result


async def test_what_a_broken_step_may_have_run_is_not_told_as_not_done(services: Opened, script: Script) -> None:
    broken: Any = BreaksOnce(services.services.tools)
    engine = dataclasses.replace(services, services=dataclasses.replace(services.services, tools=broken))
    runs = Runs(opened=engine, progress=lambda _node, _change: None)

    report = await runs.start("go", thread_id="t", context=script(calls(LIST, READ, ORDER)))

    assert "May have run (ballast effects knows): list_files(" in report["answer"]
    assert "Not done: place_order(" in report["answer"]
    results = {one.name: one.text for one in await messages_of(runs, "t") if one.type == "tool"}
    assert results["list_files"].startswith("It may have run")
    assert results["place_order"].startswith("Not run")


async def test_a_thread_whose_run_broke_takes_another_request(services: Opened, script: Script) -> None:
    broken: Any = Broken(services.services.tools, "run")
    engine = dataclasses.replace(services, services=dataclasses.replace(services.services, tools=broken))
    await Runs(opened=engine, progress=lambda _node, _change: None).start(
        "go", thread_id="t", context=script(calls(LIST))
    )

    whole = Runs(opened=services, progress=lambda _node, _change: None)
    report = await whole.start("again", thread_id="t", context=script(calls(LIST), say("better")))

    assert (report["outcome"], report["answer"]) == ("completed", "better")


async def test_a_script_that_vanished_since_the_run_began_ends_it_typed(
    services: Opened, runs: Runs, script: Script
) -> None:
    class Vanished:
        async def complete(self, *_: Any, **__: Any) -> Any:
            raise BadSetting("can't read script gone.yaml: No such file or directory")

        def usd(self, *_: Any) -> float:
            return 0.0

    engine = dataclasses.replace(services, services=dataclasses.replace(services.services, models=Vanished()))
    runs = Runs(opened=engine, progress=lambda _node, _change: None)

    report = await runs.start("go", thread_id="t", context=script(say("never")))

    assert report["outcome"] == "model_failed"
    assert "gone.yaml" in report["answer"]


async def test_a_limit_on_a_tool_that_is_not_there_is_refused(runs: Runs, script: Script) -> None:
    with pytest.raises(BadSetting, match="there is no tool send_emial"):
        await runs.start("go", thread_id="t", context=script(say("x"), tool_limits="send_emial=1"))


async def test_a_finish_that_breaks_gives_its_own_answer_and_leaves_nothing_of_the_run(
    services: Opened, script: Script
) -> None:
    whole = Runs(opened=services, progress=lambda _node, _change: None)
    await whole.start("go", thread_id="t", context=script(say("an earlier answer")))
    broken: Any = Broken(services.services.telemetry, "annotate_run")
    engine = dataclasses.replace(services, services=dataclasses.replace(services.services, telemetry=broken))

    report = await Runs(opened=engine, progress=lambda _node, _change: None).start(
        "again", thread_id="t", context=script(calls(LIST, READ), max_tool_calls=1)
    )

    assert (report["outcome"], report["answer"]) == ("tool_failed", "Stopped: finish failed: KeyError: 'a bug'.")
    assert (await whole.known("t")).values["calls"] == []
    later = await whole.start("once more", thread_id="t", context=script(say("better")))
    assert (later["outcome"], later["answer"]) == ("completed", "better")
