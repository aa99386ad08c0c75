"""Where the values of a call's arguments are found, so that whoever is asked sees what a stranger wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from graph.plan import Task
from graph.state import Call, State
from services.cleaning import is_wrapped

REQUEST, MODEL, EARLIER = "the request", "the model", "an earlier part of the conversation"
OUTSIDE = "{place} (from outside)"
MOST = 3
"""Places named for one argument beside the request: those from outside first, of these the newest tell most."""
LOOKED_FOR = 100
"""Texts of one argument that are looked for, the first ones: each in all the history."""
ASKED, ASKED_CHARS = 2, 40
"""Arguments of a lookup that tell its result from others of its tool, and how much of each."""


Place = tuple[str, str]
"""What to call it, and its text."""


def of_calls(calls: Sequence[Call], state: State) -> dict[str, dict[str, list[str]]]:
    """By call id and argument, where its value stands word for word; what stands nowhere is the model's own."""
    found = places(state)
    return {call["id"]: {name: _origins(value, found) for name, value in call["args"].items()} for call in calls}


def of_value(value: Any, found: Sequence[Place]) -> list[str]:
    """Where a value stands word for word, apart from what people said; empty when it is the model's own."""
    return [one for one in _origins(value, found) if one not in (REQUEST, MODEL)]


def places(state: State) -> Sequence[Place]:
    """Where values may stand, the newest first."""
    return list(_places(state))


def read_outside(task: Task, text: str) -> Place:
    """A text of a stranger's that no message shows whole: a plan fills in what stands in it."""
    return OUTSIDE.format(place=_named(task["tool"], task["args"])), _plain(text)


def from_outside(label: str) -> bool:
    """Whether a place is a stranger's text. No tool's name or argument can make it seem one."""
    return label.endswith(OUTSIDE.format(place=""))


def labelled(messages: Sequence[AnyMessage]) -> Iterator[tuple[str, AnyMessage]]:
    """What people said and tools gave, the newest first, and what to call it: `read_mail(id='7') (from outside)`."""
    args = {call["id"]: call["args"] for one in messages if isinstance(one, AIMessage) for call in one.tool_calls}
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            yield REQUEST, message
        elif isinstance(message, ToolMessage):
            # What was refused or failed has read nothing that its arguments would tell apart.
            asked = args.get(message.tool_call_id, {}) if message.status == "success" else {}
            name = _named(str(message.name), asked)
            yield (OUTSIDE.format(place=name) if is_wrapped(str(message.text)) else name), message


def _named(tool: str, args: Mapping[str, Any]) -> str:
    """A call as people tell it from others: by its arguments, which are short where they name what is read."""
    # A name is the model's own word where a tool takes any: what is no short word is not shown.
    words = ((name, value) for name, value in args.items() if re.fullmatch(rf"\w{{1,{ASKED_CHARS}}}", name, re.ASCII))
    asked = ", ".join(f"{name}={_shown(value)}" for name, value in islice(words, ASKED))
    return f"{tool}({asked})" if asked else tool


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) > ASKED_CHARS:
        return repr(f"{value[: ASKED_CHARS - 1]}…")
    shown = repr(value)
    return shown if isinstance(value, str) or len(shown) <= ASKED_CHARS else f"{shown[: ASKED_CHARS - 1]}…"


def _places(state: State) -> Iterator[Place]:
    for label, message in labelled(state["messages"]):
        yield label, _plain(str(message.text))
    results = state.get("results", {})
    for task in reversed(state.get("tasks", [])):
        if (result := results.get(task["id"])) and "extract" in result:
            yield read_outside(task, result["text"])
    for fact in reversed(state.get("facts") or []):
        if fact["kind"] in ("used", "value"):
            yield OUTSIDE.format(place=fact["source"]) if fact["outside"] else fact["source"], _plain(fact["text"])
    if summary := state.get("summary"):
        yield EARLIER, _plain(summary)


def _origins(value: Any, places: Sequence[tuple[str, str]]) -> list[str]:
    found: dict[str, None] = {}
    for part in islice(filter(None, map(_plain, texts_in(value))), LOOKED_FOR):
        at = dict.fromkeys(label for label, text in places if part in text and _alone(part, text))
        found |= at or {MODEL: None}
    said, others = [one for one in found if one == REQUEST], [one for one in found if one != REQUEST]
    return said + sorted(others, key=lambda label: not from_outside(label))[:MOST] or [MODEL]


def _alone(part: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None


def texts_in(value: Any) -> Iterator[str]:
    """The texts of a value, nested ones too."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from texts_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts_in(one)
    elif value is not None:
        yield _number(value)


def _number(value: Any) -> str:
    """As people write it: 2.0 is 2."""
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
