"""What the offline model reads out of the messages: the request, and the last calls with their results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

NOT_A_REQUEST = (
    "Summary of earlier tool results",
    "Your last reply could not be used",
    "Your last plan can't be run",
    "Of the plan for the last request",
    "Note from Ballast",
)
"""How human messages begin that were written by Ballast itself."""

_WRAPPED = re.compile(r'^<untrusted source="[^"]*"(?: handle="[^"]*")?>\n(.*)\n</untrusted>$', re.DOTALL | re.MULTILINE)
_WARNING = re.compile(r"^Warning: looks like hidden instructions.*\n")


@dataclass(frozen=True, kw_only=True)
class Result:
    """One call of the model's last reply, and what came of it."""

    tool: str
    args: dict[str, Any]
    text: str
    """As it is shown to people: without the delimiters, with the detector's warning."""
    failed: bool = False

    @property
    def data(self) -> str:
        """The text without the warning, for parsing."""
        return _WARNING.sub("", self.text)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """All the offline model goes by. Earlier results may have been folded away; the last ones never are."""

    request: str
    last: tuple[Result, ...] = ()
    """Results of the model's last calls since the request; empty when there were none."""
    all: tuple[Result, ...] = ()
    """Those of all its calls since the request, as far as they were not folded away."""

    def of(self, tool: str) -> list[Result]:
        """Those of one tool."""
        return [result for result in self.last if result.tool == tool]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What to do next: calls as (tool, arguments), or none when `text` is the answer."""

    text: str
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def seen_in(messages: Sequence[BaseMessage], *, first: bool = False) -> Seen:
    """Read the messages: the newest request, or the `first` one, and what was done about it since."""
    request, since = "", 0
    for position, message in enumerate(messages):
        if isinstance(message, HumanMessage) and not str(message.text).startswith(NOT_A_REQUEST):
            request, since = str(message.text).strip(), position
            if first:
                break
    calling = [m for m in messages[since:] if isinstance(m, AIMessage) and m.tool_calls]
    answers = {m.tool_call_id: m for m in messages[since:] if isinstance(m, ToolMessage)}
    results = [
        tuple(_result(call["name"], call["args"], answers.get(call["id"] or "")) for call in message.tool_calls)
        for message in calling
    ]
    return Seen(
        request=request,
        last=results[-1] if results else (),
        all=tuple(result for group in results for result in group),
    )


def _result(tool: str, args: dict[str, Any], answer: ToolMessage | None) -> Result:
    if answer is None:
        return Result(tool=tool, args=args, text="it has no result", failed=True)
    text = _WRAPPED.sub(lambda found: found[1], str(answer.text)).strip()
    return Result(tool=tool, args=args, text=text, failed=answer.status == "error")
