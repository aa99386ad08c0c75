"""join: answer the request from what the tasks of its plan gave."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from graph.context import Run
from graph.plan import failures
from graph.state import State
from nodes import prompts
from nodes.asking import Asking, NoReply, usage_of_this_run
from nodes.guarding import Guarding
from nodes.provenance import judge_of
from services.budget import budget_of
from services.totals import before


async def join(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Answer from the results; of a plan that came to no end, from those there are, and say so."""
    run = runtime.context
    services, context = run.services, run.context(state)
    usage = usage_of_this_run(state)
    budget = budget_of(runtime, "join", context, usage, before(state))
    judge = judge_of(state, services.tools, context)
    asking = Asking(run=run, context=context, usage=usage, budget=budget, judge=judge)
    try:
        asking.begin()
        reply = await asking.reply([*prompts.conversation(state), *prompts.answering(state)])
    except NoReply as none:
        return await asking.ended(none)
    usage["strikes"] = 0
    services.telemetry.annotate(model=reply.model, cost_usd=usage["cost_usd"])
    guarding = Guarding(run=run, state=state, open_budget=lambda: budget)
    update = {"messages": [reply.message], **_outcome(state), **await guarding.answered(reply.message)}
    return {**update, **guarding.update(), "usage": await budget.close()}


def _outcome(state: State) -> dict[str, Any]:
    """`tool_failed` when a task failed and nothing was planned around it."""
    failed = [f"{name}: {why}" for name, why in failures(state).items()]
    if failed:
        return {"outcome": "tool_failed", "reason": "the plan came to no end: " + "; ".join(failed)}
    return {"outcome": "completed", "reason": ""}
