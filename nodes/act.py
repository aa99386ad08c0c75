"""act: run every call that policy or a person allowed, side by side, through the effect ledger."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime

from graph.context import Assessment, Run, Services, Step, ToolResult
from graph.state import RISKS, Call, RawResult, Risk, State, Usage
from nodes.lines import Turn, counted, in_lines, without_waiting
from services.budget import no_room_for_calls

AT_ONCE = 8
"""Most calls of one step in flight together."""
REASON_CHARS = 300
"""What a person is shown of why a call is in doubt, in characters."""


async def act(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Run the calls that may run; those that wait for a person stay where they are."""
    services, context = runtime.context.services, runtime.context.context(state)
    info = runtime.execution_info
    thread_id = (info.thread_id if info else None) or uuid4().hex  # two runs without a thread share no effect
    started = services.clock.monotonic()
    others = [call for call in state["calls"] if call["status"] != "ready"]
    ready, held, faults = await _allowed([c for c in state["calls"] if c["status"] == "ready"], services, thread_id)
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
    step = Step(thread_id=thread_id, workspace=context.workspace, claim=runtime.context.claim, seconds=seconds)
    lines = in_lines(ready, state.get("intents", {}), services.tools)
    ended = await _run(lines, step, services, faults)
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
    usage = _counted(state["usage"], pairs)
    usage["seconds"] += services.clock.monotonic() - started
    asked = [await _doubtful(call, result, services) for call, result in pairs if result.doubt]
    pairs = [(call, result) for call, result in pairs if not result.doubt]
    update: dict[str, Any] = {
        "messages": [_message(call, result) for call, result in pairs if not result.untrusted],
        "calls": [*held, *asked, *waiting, *others],
        "usage": usage,
    }
    if raw := [_raw(call, result) for call, result in pairs if result.untrusted]:
        update["untrusted"] = raw
    if intents := counted(begun):
        update["intents"] = intents
    return update


async def _run(
    lines: list[list[Turn]], step: Step, services: Services, faults: Mapping[str, str]
) -> list[tuple[Turn, ToolResult]]:
    """All lines side by side; in each the next call begins when the one before it is not left in doubt."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(turn: Turn) -> ToolResult:
        async with slots:
            if fault := faults.get(turn.call["id"]):
                left = await services.tools.earlier(turn.call, step, occurrence=turn.occurrence)
                return left or ToolResult(text=fault, untrusted=False, ok=False)
            return await services.tools.run(turn.call, step, occurrence=turn.occurrence)

    async def in_turn(line: list[Turn]) -> list[tuple[Turn, ToolResult]]:
        ended: list[tuple[Turn, ToolResult]] = []
        for turn in line:
            ended.append((turn, await one(turn)))
            if ended[-1][1].doubt:
                break
        return ended

    # All come to their end, also when one of them can't be recorded: none goes on behind the node's back.
    ended = await asyncio.gather(*map(in_turn, lines), return_exceptions=True)
    every: list[tuple[Turn, ToolResult]] = []
    for line in ended:
        if isinstance(line, BaseException):
            raise line
        every += line
    return sorted(every, key=lambda pair: pair[0].position)


async def _allowed(
    ready: list[Call], services: Services, thread_id: str
) -> tuple[list[Call], list[Call], dict[str, str]]:
    """(those that may run, those that must be asked about, why one of the first can't), whatever the state says.

    A state can be edited by hand, copied to another thread, or older than today's rules: a call above low runs
    only by the row that was decided for exactly this call of this thread, and at no higher tier than the row's: what
    a deadline let go, or a person of some role, is asked again when more is at stake now (the policy was tightened,
    or an edit raised it). One in doubt runs by such a row at any tier.
    """
    rows = {}
    if ids := [call["approval_id"] for call in ready if "approval_id" in call]:
        rows = {row.id: row for row in await services.approvals.get_all(ids)}
    may_run: list[Call] = []
    held: list[Call] = []
    faults: dict[str, str] = {}
    for call in ready:
        found = await services.tools.assess(call["name"], call["args"])
        row = rows.pop(call.get("approval_id", ""), None)  # it lets one call run, however often the state lists it
        allowed = bool(row and row.allows(call, thread_id))
        if "effect_key" in call and not allowed:
            held.append({**call, "risk": _at_least_high(found), "status": "ask"})
            continue
        if found.error:
            faults[call["id"]] = found.error
        if found.error or found.risk == "low" or (row and allowed and not _above(found.risk, row.risk)):
            may_run.append(call)
        else:
            held.append({**call, "risk": found.risk, "reason": found.reason, "status": "ask"})
    return may_run, held, faults


def _above(one: Risk, other: Risk) -> bool:
    return RISKS.index(one) > RISKS.index(other)


def _counted(usage: Usage, pairs: list[tuple[Call, ToolResult]]) -> Usage:
    """With these calls; one that was in doubt was counted when it was first made."""
    made = [call["name"] for call, _ in pairs if "effect_key" not in call]
    done = [call["name"] for call, result in pairs if result.ok]
    return {
        **usage,
        "tool_calls": usage["tool_calls"] + len(made),
        "by_tool": dict(Counter(usage["by_tool"]) + Counter(made)),
        "done": dict(Counter(usage["done"]) + Counter(done)),
    }


async def _doubtful(call: Call, result: ToolResult, services: Services) -> Call:
    """The call as a person is asked about it. Nothing lets it run by itself, whatever its tier."""
    found = await services.tools.assess(call["name"], call["args"])
    why = " ".join(result.text.split())[:REASON_CHARS]
    return {
        **call,
        "risk": _at_least_high(found),
        "reason": f"in doubt: {why or 'an earlier attempt was cut off'}; it may have happened",
        "status": "ask",
        "effect_key": result.doubt or "",
        "effect_holder": result.holder,
    }


def _at_least_high(found: Assessment) -> Risk:
    """A tool that is gone counts as high: that it can't run is told to whoever retries it."""
    return "high" if found.error else max(found.risk, "high", key=RISKS.index)


def _message(call: Call, result: ToolResult) -> ToolMessage:
    return ToolMessage(
        "\n".join(part for part in (call.get("note"), result.text) if part),
        tool_call_id=call["id"],
        name=call["name"],
        id=f"r-{call['id']}",
        status="success" if result.ok else "error",
    )


def _raw(call: Call, result: ToolResult) -> RawResult:
    raw = RawResult(call_id=call["id"], tool=call["name"], text=result.text, ok=result.ok)
    if note := call.get("note"):
        raw["note"] = note
    return raw
