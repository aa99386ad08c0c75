"""compress_history: the last N tool results stay whole, older ones become a summary."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.runtime import Runtime

from graph.context import Run
from graph.errors import BadSetting, LimitReached, ModelFailed
from graph.models import Models, Question
from graph.state import State
from nodes import faults, prompts
from services.budget import RunBudget, budget_of
from services.totals import before

SUMMARY_CHARS = 6_000
"""Longest summary kept; a longer one is cut at its start, so that the newest facts stay."""

SUMMARY_TOKENS = 2_000
"""Longest summary asked for, unless replies are kept shorter anyway."""

EXCERPT_CHARS = 300
"""What is kept of each result when the summarizer fails."""


async def compress_history(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Fold all but the last tool results into a summary; a call and its result never part."""
    services, context = runtime.context.services, runtime.context.context(state)
    folded = foldable(state["messages"], context.keep_tool_results)
    if not folded:  # this invocation keeps more than the thread does
        return {}
    budget = budget_of(runtime, "compress_history", context, state["usage"].copy(), before(state))
    earlier = state.get("summary", "")
    text = "\n\n".join(_rendered(message) for message in folded)
    try:
        async with asyncio.timeout(max(budget.left().seconds, 0)):
            question = Question(
                messages=[SystemMessage(prompts.SUMMARIZE), HumanMessage(f"{earlier}\n\n{text}".strip())],
                role="summarizer",
                max_reply_tokens=min(context.max_reply_tokens, SUMMARY_TOKENS),
            )
            summary = await _summarized(services.models, context.model, question, budget)
    except (LimitReached, BadSetting, TimeoutError):
        summary = None
    if summary is None:
        summary = "\n".join([earlier, *(_rendered(message)[:EXCERPT_CHARS] for message in folded)]).strip()
    return {
        "messages": [RemoveMessage(id=message.id or "") for message in folded],
        "summary": summary[-SUMMARY_CHARS:],
        "usage": await budget.close(),
    }


async def _summarized(models: Models, chain: str, question: Question, budget: RunBudget) -> str | None:
    """The summary; None when no model gave one that can be used. What went wrong is counted."""
    try:
        reply = await models.complete(chain, question, budget=budget)
    except ModelFailed as failed:
        faults.count(budget.usage, "model_error", len(failed.reasons))
        return None
    faults.count(budget.usage, "model_error", len(reply.failures))
    if fault := faults.of_reply(reply.message):
        faults.count(budget.usage, fault.kind)
        return None
    return str(reply.message.text)


def foldable(messages: list[AnyMessage], keep: int) -> list[AnyMessage]:
    """Replies and their results, whole groups only, that lie before the last `keep` results."""
    results = [message for message in messages if isinstance(message, ToolMessage)]
    old = {message.tool_call_id: message for message in results[:-keep]}
    if not old:
        return []
    folded: list[AnyMessage] = []
    for message in messages:
        if isinstance(message, AIMessage) and message.tool_calls:
            ids = [call["id"] or "" for call in message.tool_calls]
            if all(call_id in old for call_id in ids):
                folded += [message, *(old[call_id] for call_id in ids)]
    return folded


def _rendered(message: AnyMessage) -> str:
    if isinstance(message, AIMessage):
        calls = ", ".join(f"{call['name']}({call['args']})" for call in message.tool_calls)
        return f"{message.text}\ncalled {calls}".strip()
    return f"{message.name} returned: {message.text}"
