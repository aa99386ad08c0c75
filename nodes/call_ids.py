"""The ids by which calls and their results are paired."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence

from langchain_core.messages import AIMessage, BaseMessage

from graph.state import Usage
from nodes import faults

LONGEST_CALL_ID = 200
"""In characters. Ids stand in messages and in rows of Postgres, which takes no NUL."""


def with_fresh_call_ids(message: AIMessage, history: Sequence[BaseMessage], usage: Usage) -> AIMessage:
    """Models may repeat a call id; results are paired by it, so a repeated one is made new, as one no row can hold."""
    taken = {call["id"] for old in history if isinstance(old, AIMessage) for call in old.tool_calls}
    calls = []
    for position, call in enumerate(message.tool_calls):
        unique = call["id"]
        if unique and not (len(unique) <= LONGEST_CALL_ID and unique.isprintable()):
            unique = None
        if not unique or unique in taken:
            unique = _free(f"{unique or 'call'}-{message.id}-{position}", taken)
            faults.count(usage, "repeated_call_id")
        taken.add(unique)
        calls.append({**call, "id": unique})
    return message if calls == message.tool_calls else message.model_copy(update={"tool_calls": calls})


def _free(wanted: str, taken: Container[str | None]) -> str:
    """A result under an id that is taken would replace the older one, and what it showed of outsiders be forgotten."""
    names = itertools.chain([wanted], (f"{wanted}-{number}" for number in itertools.count(1)))
    return next(name for name in names if name not in taken)
