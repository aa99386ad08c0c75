"""`--graph auto`: a rule over the words of a request, no model: several things to do side by side make a plan.

It reads English and goes by signs: a part that begins with a verb of office work and points at nothing said before it
is one such thing. When in doubt it is `react`, which can do all that `plan` can.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_ITEM = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.)])\s+", re.MULTILINE)
_PARTS = re.compile(r"\s*(?:[;\n]|[.!?](?=\s|$)|,?\s+and\s+(?:also\s+)?|,\s+)\s*", re.IGNORECASE)
_LEAD = re.compile(r"^(?:please|also|can you|could you)\s+", re.IGNORECASE)
_VERB = re.compile(
    r"(?:check|collect|compare|count|delete|draft|fetch|find|gather|get|list|look (?:for|up|into)|mail|order|pay|read|"
    r"research|review|search|send|write)\b",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"(?:(?:then|finally)\s+)?(?:answer|compare|conclude|report|say|summari[sz]e|tell|draw up|give me|show me)\b",
    re.IGNORECASE,
)
_BACK = re.compile(
    r"\b(?:it|its|one|ones|them|they|their|theirs|those|these|this|that|him|his|her|hers|there|"
    r"the (?:same|first|result|answer)|"
    r"if|unless|whether|until|depending|otherwise|accordingly|based on|then|after(?:wards)?|next|each|every)\b",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"\s{2,}")
_NAMED = re.compile(r"\S*[/.\d]\S*")
READ_CHARS = 4_000
"""How much of a request is read."""
LEAST = 2
"""Things side by side that are worth a plan."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which graph runs a request, and why, in words for a person."""

    graph: Literal["react", "plan"]
    why: str


def choice(request: str) -> Choice:
    """`plan` for a list, or for several parts of which none needs another; else `react`."""
    request = _BLANKS.sub(lambda run: "\n" if "\n" in run[0] else " ", request[:READ_CHARS])
    items = len(_ITEM.findall(request))
    parts = [_LEAD.sub("", part) for part in _PARTS.split(_ITEM.sub("\n", request)) if part.strip()]
    alone = [part for part in parts if not _BACK.search(part)]
    begun = [part for part in alone if _VERB.match(part) or _NAMED.fullmatch(part)]
    others = [part for part in parts if part not in begun and not _ANSWER.match(part)]
    if len(begun) >= LEAST and (items >= LEAST or not others):
        return Choice(graph="plan", why=f"{len(begun)} parts of the request need nothing of each other")
    return Choice(graph="react", why="the request is one thing, or its parts may need each other")
