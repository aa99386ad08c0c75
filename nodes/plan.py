"""plan: turn the request into tasks, and admit them before the first call. What failed is planned around."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.runtime import Runtime

from graph.context import Run
from graph.errors import LimitReached
from graph.plan import MOST_REPLANS, Planned, Task, TaskResult
from graph.state import State, request_id
from nodes import prompts
from nodes.asking import Asking, NoReply, new_run, usage_of_this_run
from nodes.guarding import Guarding
from nodes.provenance import judge_of
from nodes.wanted import read_request
from services.admission import Room, estimated, excesses
from services.budget import budget_of
from services.plan_reader import Unreadable, read_plan, told
from services.plan_tool import PLAN_TOOL
from services.totals import before

TRIES = 2
"""Plans a planner may give in one pass: what is wrong with the first is told once."""


async def plan(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Ask the planner for tasks; what does not fit is sent back once, and then the run ends before any call."""
    run = runtime.context
    services, context, usage = run.services, run.context(state), usage_of_this_run(state)
    new = new_run(state)
    known: Planned = {} if new else state
    ended, tasks = known.get("results", {}), known.get("tasks", [])
    # They do not run beside another plan: what is still wanted of them stands in it.
    dropped = [*known.get("dropped", []), *(one for one in tasks if one["id"] not in ended)]
    taken = [one["id"] for one in dropped]
    budget = budget_of(runtime, "plan", context, usage, before(state))
    judge = judge_of(state, services.tools, context)
    asking = Asking(
        run=run, context=context, usage=usage, budget=budget, judge=judge, role="planner", tools=[PLAN_TOOL]
    )
    prompt = [*prompts.planning(state, services.tools.offered()), *prompts.replanning(ended, taken)]
    asked = request_id(state["messages"])
    guarding = Guarding(run=run, state=state, open_budget=lambda: budget)
    around = bool(ended) and state.get("planned_for") == asked  # of a plan that is there, and has failed in part
    try:
        await guarding.request()
        found = await _planned(asking, prompt, ended, taken)
    except NoReply as none:
        if not around or none.outcome != "model_failed":
            return {**new, **guarding.update(), **await asking.ended(none)}
        found = Found(tasks=[], faults=[none.why])
    new |= guarding.update()
    usage["strikes"] = 0
    services.telemetry.annotate(
        tasks=[[one["id"], one["tool"], one["needs"]] for one in found.tasks], faults=found.faults
    )
    if found.faults and not around:
        why = "no plan was admitted: " + "; ".join(found.faults)
        return {**new, "outcome": "plan_rejected", "reason": why, "usage": await budget.close()}
    update: dict[str, Any] = {**new, "planned_for": asked}
    unread = not (judge.outside or any(one.get("outside") for one in ended.values()))
    if judge.needs_reading(one["tool"] for one in found.tasks):
        update["wanted"] = await read_request(state, run, context, usage, budget)
    if found.tasks:
        failed = [name for name, result in ended.items() if result["stands"] == "failed"]
        planned = [{**one, "unread": unread} for one in found.tasks]
        update["tasks"] = [*(one for one in tasks if one["id"] in ended), *planned]
        update |= {"results": ended} if ended else {}  # whoever follows the run is told which are not new
        update |= {"dropped": dropped} if dropped else {}
        update |= {"replanned": failed, "replans": known.get("replans", 0) + 1 if failed else 0}
    else:  # no way around what failed: it is answered from what was reached
        update["replans"] = MOST_REPLANS
    try:
        update["usage"] = await budget.close(tool_calls=sum(one["estimate"]["calls"] for one in found.tasks))
    except LimitReached as reached:
        update |= {"outcome": reached.outcome, "reason": reached.why, "usage": usage}
    return update


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the planner gave."""

    tasks: list[Task]
    faults: list[str]
    """What is wrong with its last plan; empty when the tasks are admitted."""


async def _planned(
    asking: Asking, prompt: Sequence[BaseMessage], ended: dict[str, TaskResult], dropped: Collection[str]
) -> Found:
    """A plan that fits, or what is wrong with the second one.

    Raises:
        NoReply: the planner's model gave nothing that can be used, or the limits leave no room to ask.
    """
    faults: list[str] = []
    for _ in range(TRIES):
        asking.begin()
        reply = await asking.reply([*prompt, *prompts.sent_back(faults)])
        try:
            tasks = read_plan(reply.message, ended, dropped)
        except Unreadable as unreadable:
            faults = unreadable.faults
            continue
        found = await _admitted(tasks, asking)
        if not found.faults:
            return found
        faults = found.faults
    return Found(tasks=[], faults=faults)


async def _admitted(tasks: list[Task], asking: Asking) -> Found:
    services, chain = asking.run.services, asking.context.model

    def usd(prompt_tokens: int, reply_tokens: int) -> float:
        return services.models.usd(chain, prompt_tokens, reply_tokens)

    room = Room(usage=asking.usage, context=asking.context, left=asking.budget.left(), usd=usd)
    faults = told(await excesses(tasks, services.tools.assess, room))
    return Found(tasks=[{**task, "estimate": estimated(task, usd)} for task in tasks], faults=faults)
