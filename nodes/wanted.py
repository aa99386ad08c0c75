"""What a request asks for, read from people's words alone: whatever was read since has no say in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage

from graph.context import LocalContext, Run
from graph.errors import BadSetting, LimitReached, ModelFailed
from graph.models import Question
from graph.provenance import Wanted
from graph.state import State, Usage, request_id
from graph.tools import Tools
from nodes import faults, prompts
from services.budget import RunBudget
from services.request_reading import READ_TOOL, asked_in

READER_TOKENS = 1_000
"""Longest reply asked of the reader."""

WRITTEN_OUTSIDE = "a tool of another program, which does what its name says"
"""Instead of a description that a stranger wrote."""


async def read_request(state: State, run: Run, context: LocalContext, usage: Usage, budget: RunBudget) -> Wanted:
    """Which gated calls the newest request asks for. None when no model can say: then each of them asks a person."""
    said: Sequence[AnyMessage] = [one for one in state["messages"] if isinstance(one, HumanMessage)]
    question = Question(
        messages=[SystemMessage(prompts.READER.format(tools=_described(run.services.tools))), *said],
        tools=[READ_TOOL],
        role="reader",
        turn=len(said) - 1,
        max_reply_tokens=min(context.max_reply_tokens, READER_TOKENS),
    )
    wanted = Wanted(request=request_id(state["messages"]), calls={})
    try:
        async with asyncio.timeout(max(budget.left().seconds, 0)):
            reply = await run.services.models.complete(context.model, question, budget=budget)
    except (LimitReached, BadSetting, TimeoutError):
        return wanted
    except ModelFailed as failed:
        faults.count(usage, "model_error", len(failed.reasons))
        return wanted
    return {**wanted, "calls": asked_in(reply.message)}


def answered(state: State) -> bool:
    """Whether the run before has ended, and nobody has written since: what was asked for was done then, or not."""
    messages = state["messages"]
    return bool(state.get("outcome")) and not (messages and isinstance(messages[-1], HumanMessage))


def nothing_more(state: State) -> Wanted:
    """What a request asks for that was answered; a person's no still counts."""
    request, known = request_id(state["messages"]), state.get("wanted")
    rejected = known is not None and known["request"] == request and known.get("rejected", False)
    return Wanted(request=request, calls={}, answered=True, rejected=rejected)


def _described(tools: Tools) -> str:
    """A line a tool. What somebody outside says of theirs is not for the reader."""
    gated = [(one, trust) for one in tools.offered() if (trust := tools.trust(one.name)).gated]
    said = [(one.name, WRITTEN_OUTSIDE if trust.described_outside else one.description) for one, trust in gated]
    return "\n".join(f"- {name}: {' '.join(told.split())}" for name, told in said)
