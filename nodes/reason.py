"""reason: ask the model within the limits, and sort its calls into those that run and those that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langgraph.runtime import Runtime

from graph.context import LocalContext, Run
from graph.errors import BadSetting, LimitReached, ModelFailed
from graph.models import Question, Reply
from graph.state import Call, Outcome, State, Usage, no_usage
from nodes import faults, prompts
from nodes.sort_calls import sort_calls
from services.budget import RunBudget, budget_of, no_room_for_calls


async def reason(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Ask the model what to do next, if the limits leave room for it."""
    run = runtime.context
    services, context = run.services, run.context(state)
    usage = _usage_of_this_run(state)
    budget = budget_of(runtime, "reason", context, usage)
    if stop := _at_an_end(usage, context):
        return _end(*stop, await budget.close())
    usage["iterations"] += 1
    asked = Asking(run=run, context=context, usage=usage, budget=budget)
    try:
        async with asyncio.timeout(budget.left().seconds):
            reply = await asked.usable_reply([*prompts.conversation(state), *prompts.notes(usage, context)])
    except LimitReached as reached:
        usage["iterations"] -= asked.requests == 0
        why = "; ".join([reached.why, *reached.failures])
        return _end(reached.outcome, why, await budget.close(), asked.partial)
    except TimeoutError:
        why = f"time: {context.max_seconds:g} s passed in a call"
        return _end("stopped_deadline", why, await budget.close(), asked.partial)
    except ModelFailed as failed:
        return _end("model_failed", "; ".join(failed.reasons), await budget.close(), asked.partial)
    except BadSetting as gone:  # such as a script whose file was deleted since the run began
        return _end("model_failed", str(gone), await budget.close(), asked.partial)

    message = with_fresh_call_ids(reply.message, state["messages"], usage)
    calls, refusals = await sort_calls(message, services.tools, usage, context)
    usage["strikes"] = 0 if calls or not message.tool_calls else usage["strikes"] + 1
    faults.note_repetition(usage, message, state["messages"])
    update: dict[str, Any] = {"messages": [message, *refusals], "calls": calls}
    update |= _ending(message, calls, usage, context)
    try:
        update["usage"] = await budget.close(tool_calls=0 if update.get("outcome") else len(calls))
    except LimitReached as reached:
        update |= {"outcome": reached.outcome, "reason": reached.why, "usage": usage}
    if state.get("outcome"):  # a new run on the thread
        update = {"outcome": None, "lost": [], **update}
    services.telemetry.annotate(
        model=reply.model,
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        cost_usd=usage["cost_usd"],
        faults=usage["faults"],
        tiers=[{"tool": c["name"], "risk": c["risk"], "reason": c["reason"]} for c in calls],
    )
    return update


@dataclass(kw_only=True)
class Asking:
    """One pass through the chain, until a reply can be used."""

    run: Run
    context: LocalContext
    usage: Usage
    budget: RunBudget
    requests: int = 0
    """Made so far in this pass."""
    partial: AIMessage | None = None
    """The longest text a cut-off reply had: the best there is when none follows that can be used."""

    async def usable_reply(self, prompt: list[BaseMessage]) -> Reply:
        """A reply that can be used. Its fault is shown to each member once, then the next one is asked.

        Raises:
            ModelFailed: no model answered, or none usably.
            LimitReached: the limits leave no room to ask.
        """
        services, usage = self.run.services, self.usage
        reasons: list[str] = []
        told: list[BaseMessage] = []
        while (first := next_member(usage, self.context)) is not None:
            try:
                question = Question(
                    messages=[*prompt, *told],
                    tools=services.tools.offered(),
                    turn=usage["turns"],
                    max_reply_tokens=self.context.max_reply_tokens,
                )
                reply = await services.models.complete(self.context.model, question, budget=self.budget, first=first)
            except ModelFailed as failed:
                self._count(len(failed.reasons))
                raise ModelFailed([*reasons, *failed.reasons]) from None
            except LimitReached as reached:
                if reached.failures:
                    self._count(len(reached.failures))
                raise
            self._count(len(reply.failures))
            fault = faults.of_reply(reply.message)
            if fault is None:
                return reply
            faults.count(usage, fault.kind)
            self._keep(faults.partial(reply.message))
            usage["strikes"] += 1
            reasons.append(f"{reply.model}: {fault.told}")
            told = [HumanMessage(prompts.REPAIR.format(problem=fault.told))] if usage["strikes"] % 2 else []
        raise ModelFailed(reasons)

    def _keep(self, partial: AIMessage | None) -> None:
        if partial and (self.partial is None or len(partial.text) >= len(self.partial.text)):
            self.partial = partial

    def _count(self, failures: int) -> None:
        self.requests += 1
        self.usage["turns"] += 1
        faults.count(self.usage, "model_error", failures)


LONGEST_CALL_ID = 200
"""In characters. Ids stand in messages and in rows of Postgres, which takes no NUL."""

UNUSABLE = "no model of the chain ({chain}) made a call that can run"


def next_member(usage: Usage, context: LocalContext) -> int | None:
    """Number of the chain's member to ask next, from 0; None when each had its two tries."""
    members = context.model.count(",") + 1
    tried = usage["strikes"] // 2
    if tried >= members:
        return None
    return max(tried, min(members - 1, usage["repeats"] // faults.REPEATS_NEXT_MODEL))


def _usage_of_this_run(state: State) -> Usage:
    """A copy to add to; a thread that had ended starts a new run from zero."""
    known = state.get("usage")
    return no_usage() if known is None or state.get("outcome") else known.copy()


def _at_an_end(usage: Usage, context: LocalContext) -> tuple[Outcome, str] | None:
    if usage["iterations"] >= context.max_iterations:
        repeats = usage["repeats"]
        same = f", the last {repeats} with the same call" if repeats >= faults.REPEATS_TOLD else ""
        return "stopped_iterations", f"iterations: {usage['iterations']} of {context.max_iterations}{same}"
    if usage["seconds"] >= context.max_seconds:
        return "stopped_deadline", f"time: {usage['seconds']:.1f} s of {context.max_seconds:g}"
    if next_member(usage, context) is None:
        return "model_failed", UNUSABLE.format(chain=context.model)
    return None


def _ending(message: AIMessage, calls: list[Call], usage: Usage, context: LocalContext) -> dict[str, Any]:
    """The outcome, when this reply is the run's last."""
    if not message.tool_calls:
        return {"outcome": "completed", "reason": ""}
    return no_room_for_calls(len(calls), usage, context)


def with_fresh_call_ids(message: AIMessage, history: Sequence[AnyMessage], usage: Usage) -> AIMessage:
    """Models may repeat a call id; results are paired by it, so a repeated one is made new, as one no row can hold."""
    taken = {call["id"] for old in history if isinstance(old, AIMessage) for call in old.tool_calls}
    calls = []
    for position, call in enumerate(message.tool_calls):
        unique = call["id"]
        if unique and not (len(unique) <= LONGEST_CALL_ID and unique.isprintable()):
            unique = None
        if not unique or unique in taken:
            unique = f"{unique or 'call'}-{message.id}-{position}"
            faults.count(usage, "repeated_call_id")
        taken.add(unique)
        calls.append({**call, "id": unique})
    return message if calls == message.tool_calls else message.model_copy(update={"tool_calls": calls})


def _end(outcome: Outcome, why: str, usage: Usage, partial: AIMessage | None = None) -> dict[str, Any]:
    kept = {"messages": [partial]} if partial else {}
    return {"outcome": outcome, "reason": why, "usage": usage, **kept}
