"""What a request asks to be done, read from it alone: the tool a model answers with, and a rule where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.tool import tool_call
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field, ValidationError

READ = "asked_for"
"""Name of the tool."""

MOST = 1_000
"""Calls of one tool a request may ask for."""

MANY = 5
"""Calls the rule allows where a request speaks of each, all or several."""

VERBS = {
    "send": "send|mail|email|e-mail|write to|reply|answer|forward|tell|inform|notify|invite",
    "place": "order|buy|purchase",
    "order": "order|buy|purchase",
    "pay": "pay|settle|transfer|refund",
    "write": "write|save|store|put|draft|create|make",
    "create": "create|add|make|schedule|book|set up",
    "delete": "delete|remove|erase|clear",
    "update": "update|change|adjust|correct|set",
}
"""Words for what a tool does, by the first word of its name; of other tools that word itself."""

_TOOL = re.compile(r"^- (\w+):", re.MULTILINE)

_MANY = re.compile(r"\b(?:each|every|all|both|them|several|two|three|four|five)\b", re.IGNORECASE)


class AskedCall(BaseModel):
    """Calls of one tool."""

    tool: str = Field(description="The tool's name.")
    count: int = Field(description="How many calls of it the request asks for.", ge=0, le=MOST)


class Asked(BaseModel):
    """Say which of these tools the request asks to be called, and how often. Leave out what it does not ask for."""

    calls: list[AskedCall]


READ_TOOL = StructuredTool(name=READ, description=str(Asked.__doc__), args_schema=Asked)
"""What the reader's model is offered. It is never run."""


def asked_in(reply: AIMessage) -> dict[str, int]:
    """What the reply says; nothing where it says anything else: then each such call asks a person."""
    calls = [call for call in reply.tool_calls if call["name"] == READ]
    if len(calls) != 1:
        return {}
    try:
        asked = Asked.model_validate(calls[0]["args"])
    except ValidationError:
        return {}
    counts: dict[str, int] = {}
    for one in asked.calls:
        counts[one.tool] = max(counts.get(one.tool, 0), one.count)
    return counts


def by_words(request: str, tools: Iterable[str]) -> dict[str, int]:
    """A rule over English words, for models that are rules themselves."""
    count = MANY if _MANY.search(request) else 1
    return {name: count for name in tools if re.search(rf"\b(?:{_words_of(name)})", request, re.IGNORECASE)}


def read_by_words(messages: Sequence[BaseMessage]) -> AIMessage:
    """The answer of that rule: the tools stand in the instructions, a line each."""
    told = "\n".join(str(one.text) for one in messages if isinstance(one, SystemMessage))
    said = [str(one.text) for one in messages if isinstance(one, HumanMessage)]
    asked = by_words(said[-1] if said else "", _TOOL.findall(told))
    calls = [{"tool": name, "count": count} for name, count in asked.items()]
    call = tool_call(name=READ, args={"calls": calls}, id="read")
    return AIMessage("", tool_calls=[call], response_metadata={"finish_reason": "tool_calls"})


def _words_of(name: str) -> str:
    first = name.split("_", 1)[0].casefold()
    return VERBS.get(first, re.escape(first))
