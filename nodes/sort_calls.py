"""Which calls of a reply may run, which wait for a person, and what the model is told of those that can't run."""

from __future__ import annotations

from collections import Counter

from langchain_core.messages import AIMessage, ToolMessage

from graph.context import Context, limits_by_tool
from graph.state import Call, Usage
from nodes import faults
from nodes.guarding import Guarding
from nodes.provenance import Judge

OVER = "{name} may be called {limit} times in a run, and was: go on without it"


async def sort_calls(
    message: AIMessage, usage: Usage, context: Context, judge: Judge, guarding: Guarding
) -> tuple[list[Call], list[ToolMessage]]:
    """The calls that may run or wait, and the answers to those that can't run at all, each counted."""
    limits = limits_by_tool(context.tool_limits)
    made = Counter(usage["by_tool"])
    calls: list[Call] = []
    refusals: list[ToolMessage] = []
    for call in message.tool_calls:
        name, call_id = call["name"], call["id"] or ""
        found = await judge.tools.assess(name, call["args"])
        refused, kind = found.error, faults.kind_of(found)
        limit = min((one for one in (limits.get(name), found.max_calls) if one is not None), default=None)
        if not refused and limit is not None and made[name] >= limit:
            refused, kind = OVER.format(name=name, limit=limit), "over_tool_limit"
        risk, reason = (found.risk, "") if refused else judge.raised(name, found)
        if not refused:
            refused, seen = await guarding.refusal(name, call_id, found.args, risk)
            kind = "refused_by_guard"
            guarding.findings += seen
        if refused:
            faults.count(usage, kind)
            refusals.append(ToolMessage(refused, tool_call_id=call_id, name=name, id=f"r-{call_id}", status="error"))
            continue
        made[name] += 1
        new = Call(id=call_id, name=name, args=found.args, risk=risk, reason=reason, status="ask")
        if risk == "low":
            new["status"] = "ready"
        if not judge.outside:
            new["unread"] = True
        calls.append(new)
    return calls, refusals
