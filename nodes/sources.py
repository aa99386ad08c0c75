"""Which texts of a history are trusted, and whether a stranger's were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from graph.state import State
from graph.tools import Tools
from nodes.notices import is_notice
from services.cleaning import is_wrapped
from services.provenance import Source, Trusted

REQUEST = "the request"


def outside_read(state: State, tools: Tools) -> bool:
    """Whether anything a stranger wrote may have reached the model on this thread, also if it was folded since.

    What a tool says of itself is read with every prompt.
    """
    if _told_outside(tools):
        return True
    facts = state.get("facts") or []
    if state.get("outside") or any(one["outside"] for one in facts):
        return True
    if state.get("summary") and not any(one["kind"] == "result" for one in facts):  # nothing tells what it was made of
        return True
    return any(map(_of_a_stranger, state["messages"]))


def _of_a_stranger(message: AnyMessage) -> bool:
    """Whether it is a result by one. Asked of all messages at each step: `content` is there, `text` has to be made."""
    if not isinstance(message, ToolMessage):
        return False
    return is_wrapped(message.content if isinstance(message.content, str) else str(message.text))


def _told_outside(tools: Tools) -> bool:
    return any(tools.trust(one.name).described_outside for one in tools.offered())


def sources_of(state: State, tools: Tools) -> Iterator[Source]:
    """The texts of a history that are trusted: people's words, and what trusted reads gave to trusted arguments.

    A read may repeat what it was asked, so one that was asked in words of unknown origin proves nothing.
    """
    known: list[Source] = []
    calls: dict[str, Mapping[str, Any]] = {}
    outside = bool(state.get("summary")) or _read_elsewhere(state, tools)
    for message in state["messages"]:
        if isinstance(message, HumanMessage):
            known.append(Source(name=REQUEST, text=str(message.text)))
        elif isinstance(message, AIMessage) and not is_notice(message):
            calls |= {call["id"] or "": call["args"] for call in message.tool_calls}
        elif isinstance(message, ToolMessage):
            if _of_a_stranger(message):
                outside = True
                continue
            trust = tools.trust(str(message.name))
            if trust.untrusted or trust.gated or message.status != "success":
                continue
            args = calls.get(message.tool_call_id, {})
            if not outside or Trusted(known).origin(list(args.values())) is not None:
                known.append(Source(name=str(message.name), text=str(message.text)))
    yield from known


def _read_elsewhere(state: State, tools: Tools) -> bool:
    """Whether a stranger was read where no message shows it: then none of them is known to be older."""
    if _told_outside(tools):
        return True
    return not any(map(_of_a_stranger, state["messages"])) and outside_read(state, tools)
