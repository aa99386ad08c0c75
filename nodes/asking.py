"""One pass through the model chain: what it may spend, until a reply can be used, and how a run ends without one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool

from graph.context import LocalContext, Run
from graph.errors import BadSetting, LimitReached, ModelFailed
from graph.models import Question, Reply
from graph.plan import Planned
from graph.state import Outcome, State, Usage, no_usage
from nodes import faults, prompts
from nodes.provenance import Judge
from nodes.saying import safely_said
from nodes.wanted import answered, nothing_more
from services import totals
from services.budget import RunBudget
from services.unstreamed import unstreamed

NO_TOOLS = "no call can be made any more: answer in words"
UNUSABLE = "no model of the chain ({chain}) made a call that can run"


class NoReply(Exception):
    """A pass gave no reply that can be used, or a limit leaves no room to go on: how the run ends."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        self.outcome, self.why = outcome, why
        super().__init__(why)


@dataclass(kw_only=True)
class Asking:
    """One pass through the chain, until a reply can be used."""

    run: Run
    context: LocalContext
    usage: Usage
    budget: RunBudget
    judge: Judge
    """Of what the model has read: then its words are shown to people only when they lead nowhere."""
    role: Literal["agent", "planner"] = "agent"
    tools: Sequence[BaseTool] = ()
    requests: int = 0
    """Made so far in this pass."""
    partial: AIMessage | None = None
    """The longest text a cut-off reply had: the best there is when none follows that can be used."""

    def begin(self) -> None:
        """Count the pass, if the limits leave room for one.

        Raises:
            NoReply: they do not.
        """
        if stop := at_an_end(self.usage, self.context):
            raise NoReply(*stop)
        self.usage["iterations"] += 1

    async def reply(self, prompt: Sequence[BaseMessage]) -> Reply:
        """A reply that can be used.

        Raises:
            NoReply: there is none, or the limits leave no room to ask.
        """
        try:
            # What a guard has yet to see, or links to be broken in, is shown to nobody who follows the run.
            unseen = self.judge.outside or self.run.services.guards.on("output")
            async with asyncio.timeout(self.budget.left().seconds):
                with unstreamed() if unseen else nullcontext():
                    reply = await self._usable_reply(prompt)
            return replace(reply, message=safely_said(reply.message, self.judge))
        except LimitReached as reached:
            self.usage["iterations"] -= self.requests == 0
            raise NoReply(reached.outcome, "; ".join([reached.why, *reached.failures])) from None
        except TimeoutError:
            why = f"time: {self.context.max_seconds:g} s passed in a call"
            raise NoReply("stopped_deadline", why) from None
        except ModelFailed as failed:
            raise NoReply("model_failed", "; ".join(failed.reasons)) from None
        except BadSetting as gone:  # such as a script whose file was deleted since the run began
            raise NoReply("model_failed", str(gone)) from None

    async def ended(self, by: NoReply) -> dict[str, Any]:
        """The state update that ends the run, with what was said before it was cut off."""
        kept = {"messages": [safely_said(self.partial, self.judge)]} if self.partial else {}
        return {"outcome": by.outcome, "reason": by.why, "usage": await self.budget.close(), **kept}

    async def _usable_reply(self, prompt: Sequence[BaseMessage]) -> Reply:
        """Its fault is shown to each member once, then the next one is asked.

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
                    tools=self.tools,
                    role=self.role,
                    turn=usage["turns" if self.role == "agent" else "plans"],
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
            fault = self._fault(reply.message)
            if fault is None:
                return reply
            faults.count(usage, fault.kind)
            self._keep(faults.partial(reply.message))
            usage["strikes"] += 1
            reasons.append(f"{reply.model}: {fault.told}")
            told = [HumanMessage(prompts.REPAIR.format(problem=fault.told))] if usage["strikes"] % 2 else []
        raise ModelFailed(reasons)

    def _fault(self, message: AIMessage) -> faults.Fault | None:
        if message.tool_calls and not self.tools:
            return faults.Fault(kind="unknown_tool", told=NO_TOOLS)
        return faults.of_reply(message)

    def _keep(self, partial: AIMessage | None) -> None:
        if partial and (self.partial is None or len(partial.text) >= len(self.partial.text)):
            self.partial = partial

    def _count(self, failures: int) -> None:
        self.requests += 1
        self.usage["turns" if self.role == "agent" else "plans"] += 1
        faults.count(self.usage, "model_error", failures)


def next_member(usage: Usage, context: LocalContext) -> int | None:
    """Number of the chain's member to ask next, from 0; None when each had its two tries."""
    members = context.model.count(",") + 1
    tried = usage["strikes"] // 2
    if tried >= members:
        return None
    return max(tried, min(members - 1, usage["repeats"] // faults.REPEATS_NEXT_MODEL))


def usage_of_this_run(state: State) -> Usage:
    """A copy to add to; a thread that had ended starts a new run from zero."""
    known = state.get("usage")
    return no_usage() if known is None or state.get("outcome") else known.copy()


def new_run(state: State) -> dict[str, Any]:
    """What a run that begins on a thread takes away of the one before it, which had ended; nothing while one goes on.

    Where it is stored the one before begins to count as an earlier one: in the same update, so it counts once.
    """
    if not state.get("outcome"):
        return {}
    none: Planned = {"tasks": [], "results": {}, "dropped": []}
    update: dict[str, Any] = {field: value for field, value in none.items() if state.get(field)}
    if answered(state):  # without a word of a person's it asks for nothing more
        update["wanted"] = nothing_more(state)
    return {**update, "outcome": None, "lost": [], "usage": no_usage(), "earlier": totals.before(state)}


def at_an_end(usage: Usage, context: LocalContext) -> tuple[Outcome, str] | None:
    """How a run ends that has no room for another pass."""
    if usage["iterations"] >= context.max_iterations:
        repeats = usage["repeats"]
        same = f", the last {repeats} with the same call" if repeats >= faults.REPEATS_TOLD else ""
        return "stopped_iterations", f"iterations: {usage['iterations']} of {context.max_iterations}{same}"
    if usage["seconds"] >= context.max_seconds:
        return "stopped_deadline", f"time: {usage['seconds']:.1f} s of {context.max_seconds:g}"
    if next_member(usage, context) is None:
        return "model_failed", UNUSABLE.format(chain=context.model)
    return None
