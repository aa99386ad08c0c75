"""What a caller may send: messages, an answer, or both; checked before anything of it is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage, convert_to_messages
from langgraph.graph import END
from langgraph.pregel._utils import is_xxh3_128_hexdigest
from langgraph.types import Command, StateUpdate
from pydantic import ValidationError

from graph.context import Context
from graph.errors import BadSetting
from services.cleaning import clean, defused, unwrapped, wrapped

COPY = "__copy__"
"""The node name under which LangGraph copies a checkpoint, with changes or without."""

EXAMPLE = '{"messages": [{"role": "user", "content": "..."}]}'


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answers a run came with: `by_id`, or one `bare` one that names no interrupt."""

    by_id: Mapping[str, Any] = field(default_factory=dict)
    bare: Any = None


def answer_in(given: Any) -> Answer:
    """By LangGraph's own rule: a mapping whose keys all are interrupt ids is keyed by them, all else is one answer."""
    resume = given.resume if isinstance(given, Command) else None
    if isinstance(resume, dict) and all(is_xxh3_128_hexdigest(key) for key in resume):
        return Answer(by_id=resume)
    return Answer(bare=resume)


def checked(given: Any, settings: dict[str, Any]) -> Any:
    """The input of a run as it may go on: messages with ids, `settings` ours.

    Raises:
        BadSetting: no messages, messages that are none, or a command that would write or jump past the graph.
    """
    if isinstance(given, Command):
        return _checked_command(given)
    if isinstance(given, dict):
        if not given.get("messages"):
            raise BadSetting(f"the input has no messages: send {EXAMPLE}")
        return {"messages": _new_messages(given["messages"]), "settings": settings}
    if given is None:
        return None
    raise BadSetting(f"the input must be an object: send {EXAMPLE}")


def task_in(given: Any) -> str | None:
    """The request of a checked input, None when it brings no messages."""
    messages = (given.update if isinstance(given, Command) else given) or {}
    asked = messages.get("messages") if isinstance(messages, dict) else None
    return str(asked[-1].text) if asked else None


def ends(given: Any) -> bool:
    """Whether a command says that the run is over: how chat pages resolve a thread."""
    return isinstance(given, Command) and _gotos(given) == [END]


def _gotos(command: Command[Any]) -> list[Any]:
    if not command.goto:  # the server writes None for none
        return []
    return list(command.goto) if isinstance(command.goto, (list, tuple)) else [command.goto]


def _checked_command(command: Command[Any]) -> Command[Any]:
    if any(goto != END for goto in _gotos(command)):
        raise BadSetting(f"a command may go to {END!r} only: to run from another node edit the state, or replay")
    if not command.update:
        if command.resume is None and not command.goto:
            raise BadSetting(f"the command is empty: resume with an answer, or send {EXAMPLE}")
        return Command(graph=command.graph, resume=command.resume, goto=command.goto or ())
    update = dict(command.update) if isinstance(command.update, (dict, list)) else {"": command.update}
    if set(update) != {"messages"}:
        raise BadSetting("a command may update messages only: settings go in the context, the rest in update_state")
    return Command(
        graph=command.graph,
        update={"messages": _new_messages(update["messages"])},
        resume=command.resume,
        goto=command.goto or (),
    )


def checked_update(update: StateUpdate) -> StateUpdate:
    """A state edited by hand, as it may be stored; a thread's settings are no part of it.

    Raises:
        BadSetting: it is no object, or its messages are none.
    """
    values = update.values
    if update.as_node == COPY and isinstance(values, list):  # LangGraph's form: (values, node) pairs
        return update._replace(values=[(_checked_values(pair[0]), *pair[1:]) for pair in values])
    return update._replace(values=_checked_values(values))


def _checked_values(given: Any) -> dict[str, Any] | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise BadSetting('a state is updated by an object: {"FIELD": VALUE}')
    values = {name: value for name, value in given.items() if name != "settings"}
    if "messages" in values:
        values["messages"] = as_messages(values["messages"])
    return values


def _new_messages(given: Any) -> list[AnyMessage]:
    """Messages of a client, without results of calls that it does not send along.

    A call of the thread gets its result from its tool, or from who decided: agent-chat-ui makes one up for each
    call that waits, and says that it was handled. Of the others nobody knows who wrote them: they are from outside.
    """
    messages = [as_outside(one) if isinstance(one, ToolMessage) else one for one in as_messages(given)]
    made = {call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls}
    kept = [one for one in messages if not isinstance(one, ToolMessage) or one.tool_call_id in made]
    if not kept:
        raise BadSetting(f"the input has results of tools only, and those come from the tools: send {EXAMPLE}")
    return kept


def as_outside(result: ToolMessage) -> ToolMessage:
    """The result as our own tools' untrusted ones are kept. One of ours that a client sends back stays as it is."""
    text = str(result.text)
    told = unwrapped(text)
    if told != text and defused(told) == told:
        return result
    name = result.name or ""
    source = name if re.fullmatch(r"[\w.-]{1,100}", name) else "a client"
    return result.model_copy(update={"content": wrapped(clean(text), source=source, warnings=[])})


def as_messages(given: Any) -> list[AnyMessage]:
    """Messages with ids: one that can't be read must not get into the history, where it would stay.

    Raises:
        BadSetting: something in it is no message.
    """
    try:
        messages = convert_to_messages(given if isinstance(given, list) else [given])
    except (ValueError, TypeError, NotImplementedError, KeyError, AttributeError) as error:
        why = str(error).splitlines()[0]
        raise BadSetting(f"messages can't be read ({why:.200}): send {EXAMPLE}") from None
    for message in messages:
        message.id = message.id or uuid4().hex
    return messages  # type: ignore[return-value]  # typed as the base of what it holds


def explicit_fields(context: Any) -> dict[str, Any]:
    """The context fields a caller set itself, validated; a value equal to the default still counts.

    Forms send null for what was left empty, and text for numbers: null sets nothing, text is read.

    Raises:
        BadSetting: a field is unknown or out of bounds.
    """
    try:
        if isinstance(context, Mapping):
            context = {name: value for name, value in context.items() if value is not None}
        valid = context if isinstance(context, Context) else Context.model_validate(context or {})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise BadSetting(f"context field {name}: {first['msg']} (got {first['input']!r})") from None
    return valid.model_dump(include=valid.model_fields_set, mode="json")
