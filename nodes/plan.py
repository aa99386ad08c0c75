"""plan: turn the request into tasks, and admit them before the first call. Failed ones are planned around."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.runtime import Runtime

from graph.context import Run
from graph.errors import LimitReached
from graph.plan import MOST_REPLANS, Task, TaskResult
from graph.state import State
from nodes import prompts
from nodes.asking import Asking, NoReply, usage_of_this_run
from services.admission import Room, estimated, excesses
from services.budget import budget_of
from services.plan_reader import Unreadable, read_plan, told
from services.plan_tool import PLAN_TOOL

NEW_RUN: dict[str, Any] = {"tasks": [], "results": {}, "outcome": None, "lost": []}
"""What a new run on a thread takes away of the one before."""

TRIES = 2
"""Plans a planner may give in one pass: what is wrong with the first is told once."""


async def plan(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Ask the planner for tasks; what does not fit is sent back once, and then the run ends before any call."""
    run = runtime.context
    services, context = run.services, run.context(state)
    usage = usage_of_this_run(state)
    new: dict[str, Any] = NEW_RUN if state.get("outcome") else {}
    ended = {} if new else state.get("results", {})
    budget = budget_of(runtime, "plan", context, usage)
    asking = Asking(run=run, context=context, usage=usage, budget=budget, role="planner", tools=[PLAN_TOOL])
    failed = [name for name, result in ended.items() if result["stands"] == "failed"]
    prompt = [*prompts.planning(state, services.tools.offered()), *prompts.replanning(ended)]
    faults: list[str] = []
    tasks: list[Task] = []
    for _ in range(TRIES):
        try:
            asking.begin()
            reply = await asking.reply([*prompt, *_sent_back(faults)])
        except NoReply as none:
            if ended and none.outcome == "model_failed":
                faults = [none.why]
                break
            return {**new, **await asking.ended(none)}
        try:
            tasks = read_plan(reply.message, ended, may_be_empty=bool(ended))
        except Unreadable as unreadable:
            faults = unreadable.faults
            continue

        def usd(prompt_tokens: int, reply_tokens: int) -> float:
            return services.models.usd(context.model, prompt_tokens, reply_tokens)

        tasks = [{**task, "estimate": estimated(task, usd)} for task in tasks]
        room = Room(usage=usage, context=context, left=budget.left(), usd=usd)
        faults = told(await excesses(tasks, services.tools.assess, room))
        if not faults:
            break
    services.telemetry.annotate(tasks=[[task["id"], task["tool"], task["needs"]] for task in tasks], faults=faults)
    usage["strikes"] = 0
    if faults and ended:  # it is answered from what was reached
        return {"replans": MOST_REPLANS, "tasks": _ended(state, ended), "usage": await budget.close()}
    if faults:
        why = "no plan was admitted: " + "; ".join(faults)
        return {**new, "outcome": "plan_rejected", "reason": why, "usage": await budget.close()}
    update = {
        **new,
        "tasks": [*_ended(state, ended), *tasks],
        "results": ended,
        "replans": state.get("replans", 0) + 1 if ended else 0,
        "replanned": failed,
    }
    try:
        update["usage"] = await budget.close(tool_calls=sum(task["estimate"]["calls"] for task in tasks))
    except LimitReached as reached:
        update |= {"outcome": reached.outcome, "reason": reached.why, "usage": usage}
    return update


def _ended(state: State, ended: dict[str, TaskResult]) -> list[Task]:
    return [task for task in state.get("tasks", []) if task["id"] in ended]


def _sent_back(faults: list[str]) -> list[BaseMessage]:
    return (
        [HumanMessage(prompts.NOT_ADMITTED.format(faults="\n".join(f"- {fault}" for fault in faults)))]
        if faults
        else []
    )
