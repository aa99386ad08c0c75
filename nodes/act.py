"""act: run every call that policy or a person allowed, side by side, through the effect ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from langgraph.runtime import Runtime

from graph.context import Run
from graph.state import State
from graph.tools import Step, ToolResult
from nodes.lines import Turn, counted, in_lines, without_waiting
from nodes.provenance import judge_of
from nodes.released import allowed, doubtful, run_released
from nodes.results import count_calls, message_of, raw_of
from nodes.slots import Slots
from nodes.step import step_of
from nodes.together import all_ended
from services.budget import no_room_for_calls


async def act(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Run the calls that may run; those that wait for a person stay where they are."""
    services, context = runtime.context.services, runtime.context.context(state)
    info = runtime.execution_info
    thread_id = (info.thread_id if info else None) or uuid4().hex  # two runs without a thread share no effect
    started = services.clock.monotonic()
    others = [call for call in state["calls"] if call["status"] != "ready"]
    released = [call for call in state["calls"] if call["status"] == "ready"]
    judge = judge_of(state, services.tools, context)
    ready, held, faults = await allowed(released, services, thread_id, judge)
    ready, waiting = without_waiting(ready, [*held, *others], services.tools)
    more = sum("effect_key" not in call for call in ready)  # one in doubt was counted when it was first made
    if more and (stop := no_room_for_calls(more, state["usage"], context)):  # an edited state may ask for more
        return stop
    seconds = context.max_seconds - state["usage"]["seconds"]
    if ready and seconds <= 0:
        return {
            "outcome": "stopped_deadline",
            "reason": f"time: {state['usage']['seconds']:.1f} s of {context.max_seconds:g}",
        }
    step = step_of(runtime.context, state, thread_id, seconds)
    lines = in_lines(ready, state.get("intents", {}), services.tools)
    ended = await _run(lines, step, runtime.context, faults)
    begun = [turn for turn, _ in ended]
    waiting += [turn.call for line in lines for turn in line if turn not in begun]
    pairs = [(turn.call, result) for turn, result in ended]
    services.telemetry.annotate(
        tools=[
            {"tool": call["name"], "risk": call["risk"], "ok": result.ok, "reused": result.reused}
            | ({"in_doubt": True} if result.doubt else {})
            for call, result in pairs
        ]
    )
    usage = count_calls(
        state["usage"],
        made=[call["name"] for call, _ in pairs if "effect_key" not in call],  # as `more`
        done=[call["name"] for call, result in pairs if result.ok],
    )
    usage["seconds"] += services.clock.monotonic() - started
    asked = [await doubtful(call, result, services) for call, result in pairs if result.doubt]
    pairs = [(call, result) for call, result in pairs if not result.doubt]
    update: dict[str, Any] = {
        "messages": [message_of(call, result) for call, result in pairs if not result.untrusted],
        "calls": [*held, *asked, *waiting, *others],
        "usage": usage,
    }
    if raw := [raw_of(call, result) for call, result in pairs if result.untrusted]:
        update["untrusted"] = raw
    if origins := [origin for call, result in pairs if result.ok for origin in judge.met(call, result.text)]:
        update["origins"] = origins
    if intents := counted(begun):
        update["intents"] = intents
    return update


async def _run(
    lines: list[list[Turn]], step: Step, run: Run, faults: Mapping[str, str]
) -> list[tuple[Turn, ToolResult]]:
    """All lines side by side; in each the next call begins when the one before it is not left in doubt."""
    slots = Slots(run)

    async def one(turn: Turn) -> ToolResult:
        async with slots.taken(turn.call):
            fault = faults.get(turn.call["id"])
            return await run_released(turn.call, fault, run.services.tools, step, occurrence=turn.occurrence)

    async def in_turn(line: list[Turn]) -> list[tuple[Turn, ToolResult]]:
        ended: list[tuple[Turn, ToolResult]] = []
        for turn in line:
            ended.append((turn, await one(turn)))
            if ended[-1][1].doubt:
                break
        return ended

    every = [pair for line in await all_ended(map(in_turn, lines)) for pair in line]
    return sorted(every, key=lambda pair: pair[0].position)
