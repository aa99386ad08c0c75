"""What an extractor is asked to answer with, how its answer is read, and a rule where there is no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.tool import tool_call
from langchain_core.tools import StructuredTool
from pydantic import ValidationError

from graph.extracts import FACTS, VALUE_CHARS, Extract
from services.cleaning import RULES, unwrapped
from services.relevance import scores

EXTRACT = "extract"
"""Name of the tool that is the form. It is never run."""


@cache  # a model's binding is known by the tool's identity
def form_of(schema: type[Extract]) -> StructuredTool:
    """The form as the one tool the extractor is offered."""
    return StructuredTool(name=EXTRACT, description=(schema.__doc__ or "Extract.").strip(), args_schema=schema)


def extract_in(reply: AIMessage, schema: type[Extract]) -> Extract | None:
    """The extract of a reply: one call of the form, or JSON as its whole text. None of anything else."""
    if len(reply.tool_calls) == 1 and not reply.invalid_tool_calls:
        said = json.dumps(reply.tool_calls[0]["args"])
    elif reply.tool_calls or reply.invalid_tool_calls:
        return None
    else:
        said = str(reply.text)
    try:
        return schema.model_validate_json(said)
    except (ValidationError, RecursionError):
        return None


def extracted_by_lines(messages: Sequence[BaseMessage]) -> AIMessage:
    """The default form, filled by a rule: the lines of the text, those that read as orders left out.

    `messages` as an extractor gets them: instructions, the request, the text. Of many lines those stay that share
    words with the request; what a line has beyond its room is cut.
    """
    said = [str(one.text) for one in messages if isinstance(one, HumanMessage)]
    query, text = (said[-2], unwrapped(said[-1])) if len(said) > 1 else ("", "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    harmless = [line for line in _without_orders(text).splitlines() if line.strip()]
    kept = _best(harmless, query)
    left_out = [
        *([f"{len(kept)} of {len(lines)} lines"] if len(kept) < len(harmless) else []),
        *([f"{len(lines) - len(harmless)} left out that read as orders"] if len(harmless) < len(lines) else []),
    ]
    facts = [{"value": line if len(line) <= VALUE_CHARS else f"{line[: VALUE_CHARS - 1]}…"} for line in kept]
    call = tool_call(name=EXTRACT, args={"about": "; ".join(left_out), "facts": facts}, id=EXTRACT)
    return AIMessage("", tool_calls=[call], response_metadata={"finish_reason": "tool_calls"})


def _best(lines: Sequence[str], query: str) -> list[str]:
    if len(lines) <= FACTS:
        return list(map(str.strip, lines))
    found = scores(lines, query)
    chosen = sorted(sorted(range(len(lines)), key=lambda at: -found[at])[:FACTS])
    return [lines[at].strip() for at in chosen]


def _without_orders(text: str) -> str:
    """The text without the lines a rule of the detector fires on."""
    spans = [found.span() for rule in RULES.values() for found in rule.finditer(text)]
    kept, at = [], 0
    for line in text.splitlines(keepends=True):
        end = at + len(line)
        if not any(start < end and at < stop for start, stop in spans):
            kept.append(line)
        at = end
    return "".join(kept)
