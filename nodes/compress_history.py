"""compress_history: what takes more than its room is cut, the last N results stay whole, older ones become lists."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langgraph.runtime import Runtime

from graph.context import LocalContext, Run
from graph.errors import BadSetting, LimitReached, ModelFailed
from graph.facts import Fact
from graph.models import Models, Question
from graph.results import Whole
from graph.state import State, newest_request
from nodes import faults, pinned, prompts
from nodes.asking import NoReply, new_run
from nodes.cutting import shortened
from nodes.folding import OPENS, foldable, oversized, was_cut
from nodes.guarding import guarding_at
from nodes.openable import handle_of
from nodes.results_text import bare
from nodes.room import Room, room_of
from services.budget import RunBudget
from services.cleaning import is_wrapped
from services.relevance import cut
from services.tokens import most_of
from services.unstreamed import unstreamed

SUMMARY_TOKENS = 2_000
"""Longest reply asked of the summarizer, unless replies are kept shorter anyway."""

LINES, LINE_CHARS = 40, 300
"""Most lines taken of one reply of the summarizer, and most of each."""

_BULLET = re.compile(r"^\s*[-*\u2022](?:\s+|$)")

ABOUT_CHARS = 120
"""What is kept of the arguments of a call whose result can be opened again: a state may name thousands."""

EXCERPT_CHARS = 300
"""What is kept of each result when the summarizer fails."""


async def compress_history(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Cut what is too long; fold what is too much into facts, one a line. A call and its result never part."""
    guarding = guarding_at(runtime, "compress_history", state)
    try:
        await guarding.request()  # a run may begin here, and a model be asked
    except NoReply as denied:
        ended = {"outcome": denied.outcome, "reason": denied.why, **await guarding.spent()}
        return {**new_run(state), **guarding.update(), **ended}
    services, context = runtime.context.services, runtime.context.context(state)
    info = runtime.execution_info
    thread_id = (info.thread_id if info and runtime.context.durable else None) or ""
    room = room_of(context.kept())
    long = oversized(state["messages"], room)
    store, claim = services.results, runtime.context.claim
    shorter = await shortened(long, state["messages"], store=store, thread_id=thread_id, claim=claim)
    if shorter:
        now = {message.id: message for message in shorter}
        state = {**state, "messages": [now.get(message.id, message) for message in state["messages"]]}
    fold = foldable(state, room)
    new = {**new_run(state), **guarding.update()}
    if not fold:  # this invocation keeps more than the thread does
        return {**new, **({"messages": shorter} if shorter else {}), **await guarding.spent()}
    folded = fold.messages
    facts = [
        *await _handles(folded, runtime.context, thread_id),
        *_values(folded, state),
        *await _decisions(folded, runtime.context, thread_id),
    ]
    budget = guarding.budget
    lines = await _summarized(services.models, context, _told(folded, state["messages"], room), budget)
    budget.usage["folds"] += 1
    if lines is None:
        lines = _trimmed(folded)
    return {
        **new,
        "messages": [*shorter, *map(RemoveMessage, fold.ids), *([fold.parted] if fold.parted else [])],
        "summary": "\n".join(lines),
        **({"facts": facts} if facts else {}),
        "usage": await budget.close(),
    }


def _told(folded: Sequence[AnyMessage], history: Sequence[AnyMessage], room: Room) -> str:
    """What the summarizer reads: only what is folded now. What was folded before stays as it was written.

    Its prompt has no more room than any other: of what is too much, each message is cut by relevance.
    """
    texts = [_rendered(message) for message in folded]
    tokens = sum(map(most_of, texts))
    if tokens > room.tokens:
        request = newest_request(history)
        query = str(request.text) if request else ""
        texts = [cut(text, query, int(len(text) * room.tokens / tokens)) for text in texts]
    return "\n\n".join(texts)


async def _summarized(models: Models, context: LocalContext, text: str, budget: RunBudget) -> list[str] | None:
    """The facts, one a line; None when no model gave any that can be used. What went wrong is counted."""
    question = Question(
        messages=[SystemMessage(prompts.SUMMARIZE), HumanMessage(text)],
        role="summarizer",
        turn=budget.usage["folds"],
        max_reply_tokens=min(context.max_reply_tokens, SUMMARY_TOKENS),
    )
    try:
        async with asyncio.timeout(max(budget.left().seconds, 0)):
            with unstreamed():  # words a stranger may have put there are shown to nobody who follows the run
                reply = await models.complete(context.model, question, budget=budget)
    except (LimitReached, BadSetting, TimeoutError):
        return None
    except ModelFailed as failed:
        faults.count(budget.usage, "model_error", len(failed.reasons))
        return None
    faults.count(budget.usage, "model_error", len(reply.failures))
    if fault := faults.of_reply(reply.message):
        faults.count(budget.usage, fault.kind)
        return None
    said = str(reply.message.text)
    if len(said) > len(text):  # it folded nothing
        return None
    lines = [_BULLET.sub("", line).strip() for line in said.splitlines()]
    return [line[:LINE_CHARS] for line in lines if line][:LINES] or None


def _trimmed(folded: Sequence[AnyMessage]) -> list[str]:
    """The beginning of each, without a model."""
    said = [message for message in folded if message.text]  # which tools were called is told with their results
    return [line for message in said for line in _rendered(message)[:EXCERPT_CHARS].splitlines() if line.strip()]


async def _handles(folded: Sequence[AnyMessage], run: Run, thread_id: str) -> list[Fact]:
    """Store the results that go; a fact for each that can be opened again."""
    args = {call["id"]: call["args"] for one in folded if isinstance(one, AIMessage) for call in one.tool_calls}
    found: list[tuple[str, ToolMessage]] = []
    wholes: list[Whole] = []
    for message in folded:
        if not isinstance(message, ToolMessage) or message.name == OPENS:
            continue
        handle = handle_of(message)
        if handle is None and not was_cut(message):
            wholes.append(Whole(tool=str(message.name), text=bare(str(message.text))))
            handle = wholes[-1].handle
        if handle:
            found.append((handle, message))
    if not thread_id or not await run.services.results.keep(thread_id, wholes, claim=run.claim):
        return []
    return [
        Fact(
            kind="result",
            text=handle,
            source=str(message.name),
            about=pinned.shown(args.get(message.tool_call_id, {}))[:ABOUT_CHARS],
            outside=is_wrapped(str(message.text)),
        )
        for handle, message in found
    ]


def _values(folded: Sequence[AnyMessage], state: State) -> list[Fact]:
    results = [message for message in folded if isinstance(message, ToolMessage)]
    return list(pinned.values(results, pinned.named(state["messages"]), state.get("facts") or []))


async def _decisions(folded: Sequence[AnyMessage], run: Run, thread_id: str) -> list[Fact]:
    calls = [call for message in folded if isinstance(message, AIMessage) for call in message.tool_calls]
    rows = await run.services.approvals.find(thread_id=thread_id) if thread_id and calls else []
    return list(pinned.decisions(calls, rows))


def _rendered(message: AnyMessage) -> str:
    if isinstance(message, AIMessage):
        calls = ", ".join(f"{call['name']}({call['args']})" for call in message.tool_calls)
        return f"{message.text}\ncalled {calls}".strip() if calls else f"answered: {message.text}"
    return f"{message.name} returned: {message.text}"
