"""reason: ask the model within the limits, and sort its calls into those that run and those that wait."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.context import LocalContext, Run
from graph.errors import LimitReached
from graph.state import Call, State, Usage
from nodes import faults, prompts
from nodes.asking import Asking, NoReply, new_run, usage_of_this_run
from nodes.call_ids import with_fresh_call_ids
from nodes.guarding import Guarding
from nodes.provenance import judge_of
from nodes.sort_calls import sort_calls
from nodes.wanted import read_request
from services.budget import budget_of, no_room_for_calls
from services.totals import before


async def reason(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Ask the model what to do next, if the limits leave room for it."""
    run = runtime.context
    services, context = run.services, run.context(state)
    usage = usage_of_this_run(state)
    budget = budget_of(runtime, "reason", context, usage, before(state))
    judge = judge_of(state, services.tools, context)
    asking = Asking(run=run, context=context, usage=usage, budget=budget, judge=judge, tools=services.tools.offered())
    guarding = Guarding(run=run, state=state, open_budget=lambda: budget)
    try:
        asking.begin()
        await guarding.request()
        reply = await asking.reply([*prompts.conversation(state), *prompts.notes(usage, context)])
    except NoReply as none:
        return {**new_run(state), **guarding.update(), **await asking.ended(none)}

    message = with_fresh_call_ids(reply.message, state["messages"], usage)
    read = None
    if judge.needs_reading(call["name"] for call in message.tool_calls):
        read = await read_request(state, run, context, usage, budget)
        judge = judge_of({**state, "wanted": read}, services.tools, context)
    calls, refusals = await sort_calls(message, usage, context, judge, guarding)
    usage["strikes"] = 0 if calls or not message.tool_calls else usage["strikes"] + 1
    faults.note_repetition(usage, message, state["messages"])
    update: dict[str, Any] = {"messages": [message, *refusals], "calls": calls}
    update |= {"wanted": read} if read else {}
    update |= _ending(message, calls, usage, context)
    update |= await guarding.answered(message) if not message.tool_calls else {}
    try:
        update["usage"] = await budget.close(tool_calls=0 if update.get("outcome") else len(calls))
    except LimitReached as reached:
        update |= {"outcome": reached.outcome, "reason": reached.why, "usage": usage}
    services.telemetry.annotate(
        model=reply.model,
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        cost_usd=usage["cost_usd"],
        faults=usage["faults"],
        tiers=[{"tool": c["name"], "risk": c["risk"], "reason": c["reason"]} for c in calls],
    )
    return {**new_run(state), **guarding.update(), **update}


def _ending(message: AIMessage, calls: list[Call], usage: Usage, context: LocalContext) -> dict[str, Any]:
    """The outcome, when this reply is the run's last."""
    if not message.tool_calls:
        return {"outcome": "completed", "reason": ""}
    return no_room_for_calls(len(calls), usage, context)
