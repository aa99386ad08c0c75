"""act: run every call that policy or a person allowed, side by side, through the effect ledger."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime

from graph.context import Run, Services, ToolResult
from graph.state import Call, RawResult, State, Usage

AT_ONCE = 8
"""Most calls of one step in flight together."""


async def act(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Run the calls that may run; those that wait for a person stay where they are."""
    services, context = runtime.context.services, runtime.context.context(state)
    info = runtime.execution_info
    thread_id = (info.thread_id if info else None) or ""
    started = services.clock.monotonic()
    ready, held, faults = await _allowed([c for c in state["calls"] if c["status"] == "ready"], services, thread_id)
    if (more := len(ready)) + state["usage"]["tool_calls"] > context.max_tool_calls:  # an edited state may ask for more
        wanted = f"{more} more after {state['usage']['tool_calls']} of {context.max_tool_calls}"
        return {"outcome": "stopped_tool_calls", "reason": f"tool calls: {wanted}"}
    occurrences, intents = _count_intents(ready, runtime.context, state.get("intents", {}))
    slots = asyncio.Semaphore(AT_ONCE)

    async def run(call: Call, occurrence: int) -> ToolResult:
        if fault := faults.get(call["id"]):
            return ToolResult(text=fault, untrusted=False, ok=False)
        async with slots:
            return await services.tools.run(
                call, thread_id=thread_id, occurrence=occurrence, workspace=context.workspace
            )

    # All come to their end, also when one of them can't be recorded: none goes on behind the node's back.
    ended = await asyncio.gather(*map(run, ready, occurrences), return_exceptions=True)
    results = [_raised(one) for one in ended]
    services.telemetry.annotate(
        tools=[
            {"tool": call["name"], "risk": call["risk"], "ok": result.ok, "reused": result.reused}
            for call, result in zip(ready, results, strict=True)
        ]
    )
    usage = _counted(state["usage"], ready)
    usage["seconds"] += services.clock.monotonic() - started
    pairs = list(zip(ready, results, strict=True))
    update: dict[str, Any] = {
        "messages": [_message(call, result) for call, result in pairs if not result.untrusted],
        "calls": [*held, *(call for call in state["calls"] if call["status"] != "ready")],
        "usage": usage,
    }
    if raw := [_raw(call, result) for call, result in pairs if result.untrusted]:
        update["untrusted"] = raw
    if intents:
        update["intents"] = intents
    return update


async def _allowed(
    ready: list[Call], services: Services, thread_id: str
) -> tuple[list[Call], list[Call], dict[str, str]]:
    """(those that may run, those that must be asked about, why one of the first can't), whatever the state says.

    A state can be edited by hand, copied to another thread, or older than today's rules: a call above low runs
    only by the row that a person decided for exactly this call of this thread.
    """
    rows = {}
    if ids := [call["approval_id"] for call in ready if "approval_id" in call]:
        rows = {row.id: row for row in await services.approvals.get_all(ids)}
    may_run: list[Call] = []
    held: list[Call] = []
    faults: dict[str, str] = {}
    for call in ready:
        found = services.tools.assess(call["name"], call["args"])
        row = rows.get(call.get("approval_id", ""))
        if found.error:
            faults[call["id"]] = found.error
        if found.error or found.risk == "low" or (found.risk != "critical" and row and row.allows(call, thread_id)):
            may_run.append(call)
        else:
            held.append({**call, "risk": found.risk, "reason": found.reason, "status": "ask"})
    return may_run, held, faults


def _counted(usage: Usage, ran: list[Call]) -> Usage:
    by_tool = Counter(usage["by_tool"])
    by_tool.update(call["name"] for call in ran)
    return {**usage, "tool_calls": usage["tool_calls"] + len(ran), "by_tool": dict(by_tool)}


def _raised(ended: ToolResult | BaseException) -> ToolResult:
    if isinstance(ended, BaseException):
        raise ended
    return ended


def _count_intents(ready: list[Call], run: Run, known: dict[str, int]) -> tuple[list[int], dict[str, int]]:
    """How often each call already ran on this branch (0 the first time), and the counts after this step."""
    counts: dict[str, int] = {}
    occurrences = []
    for call in ready:
        digest = run.services.tools.intent(call["name"], call["args"])
        before = counts.get(digest, known.get(digest, 0)) if digest else 0
        occurrences.append(before)
        if digest:
            counts[digest] = before + 1
    return occurrences, counts


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
