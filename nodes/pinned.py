"""What of a result survives its folding word for word: lines with ids, amounts, dates and addresses; decisions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage

from graph.approvals import Approval, same_arguments
from graph.facts import Fact
from nodes.results_text import bare
from services.cleaning import is_wrapped
from services.references import references

LINE_CHARS = 200
"""Longest line kept; of a longer one, what stands around its first token."""

OF_ONE_RESULT = 100
"""Most lines kept of one result; those that a call or a person also named go before others."""

READ_CHARS = 20_000
"""How much of a result is looked through."""

SAID_CHARS, ARGS_CHARS = 2_000, 300
"""Most of what a person said to a call, and of the call's arguments beside it."""

NOT_PEOPLE = ("timer", "ballast")
"""Who closes and releases what nobody decided."""

# Every repetition has a bound: the search stays linear in a text that someone outside wrote.
_TOKEN = re.compile(
    r"""
      [\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}                              # mail address
    | \b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?\b              # IBAN
    | \b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?\b                         # date, with or without time
    | \b\d{1,2}[./]\d{1,2}[./]\d{4}\b                                              # date
    | (?:[$€£]|\b(?:USD|EUR|GBP|CHF))[ ]?\d[\d,.]{0,20}                            # amount
    | \b\d[\d,.]{0,20}[ ]?(?:[€£$]|(?:USD|EUR|GBP|CHF)\b)                          # amount
    | \b\d{1,3}(?:,\d{3}){0,5}\.\d{2}\b                                            # amount without a currency
    | \b(?=[\w-]{0,20}\d)[A-Za-z]{1,12}(?:[-_/][A-Za-z0-9]{1,20}){1,6}\b           # id such as INV-2024-7
    | \b\d{2,8}(?:-[A-Za-z0-9]{1,30}){1,6}\b                                       # id such as 003-overdue-invoice
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b                              # UUID
    | \b\d{5,20}\b                                                                 # a long number
    """,
    re.VERBOSE,
)


def tokens_in(text: str) -> set[str]:
    """Ids, amounts, dates and addresses in a text, in lower case."""
    return {_plain(found.group()) for found in _TOKEN.finditer(text[:READ_CHARS])}


def named(messages: Iterable[AnyMessage]) -> set[str]:
    """The tokens that people's messages and the model's calls name: what a run works with."""
    return {
        token
        for message in messages
        for text in (
            [str(message.text)]
            if isinstance(message, HumanMessage)
            else [shown(call["args"]) for call in message.tool_calls]
            if isinstance(message, AIMessage)
            else []
        )
        for token in tokens_in(text)
    }


def values(results: Iterable[ToolMessage], in_use: set[str], known: Sequence[Fact]) -> Iterator[Fact]:
    """Lines of the results to keep, and those known that have come into use since."""
    told = {(fact["source"], fact["text"]) for fact in known if fact["kind"] == "used"}
    for fact in known:
        new = fact["kind"] == "value" and (fact["source"], fact["text"]) not in told
        if new and tokens_in(fact["text"]) & in_use:
            yield {**fact, "kind": "used"}
    for result in results:
        found = dict(_lines(bare(str(result.text))[:READ_CHARS]))
        used = [line for line, tokens in found.items() if tokens & in_use][:OF_ONE_RESULT]
        other = [line for line, tokens in found.items() if not tokens & in_use][: OF_ONE_RESULT - len(used)]
        outside, source = is_wrapped(str(result.text)), str(result.name)
        for line in other:
            yield Fact(kind="value", text=line, source=source, about="", outside=outside)
        for line in used:
            yield Fact(kind="used", text=line, source=source, about="", outside=outside)


def decisions(calls: Iterable[ToolCall], rows: Sequence[Approval]) -> Iterator[Fact]:
    """What people decided of these calls.

    A row is of a call when it is about the same arguments: on another branch its id may stand for another one.
    """
    by_call = {row.call_id: row for row in rows if row.status != "pending" and row.decided_by not in NOT_PEOPLE}
    for call in calls:
        row = by_call.get(call["id"] or "")
        if row is None or row.tool != call["name"]:
            continue
        # A plan's call stands in the history as it was planned: the row has what its references stood for.
        if not any(references(call["args"])) and not same_arguments(row.args, call["args"]):
            continue
        decision: Mapping[str, Any] = row.decision or {}
        # The arguments are told as data: the model, or whoever it read, wrote most of them, also of an edit.
        about = shown(call["args"])[:ARGS_CHARS]
        if row.status == "edited":
            about += f"; what ran: {shown(decision.get('args'))[:ARGS_CHARS]}"
        said = f'; they said: "{str(decision["message"])[:SAID_CHARS]}"' if decision.get("message") else ""
        text = " ".join(f"{row.tool}: {row.status} by a person{said}".split("\n"))
        yield Fact(kind="decision", text=text, source=row.tool, about=about, outside=False)


def shown(args: Any) -> str:
    """Arguments as one line."""
    return json.dumps(args, ensure_ascii=False, default=str)


def _lines(text: str) -> Iterator[tuple[str, set[str]]]:
    """Lines that hold a token, with all they hold."""
    for line in text.splitlines():
        found = list(_TOKEN.finditer(line))
        if len(line) <= LINE_CHARS:
            if found:
                yield line.strip(), {_plain(one.group()) for one in found}
            continue
        at = end = 0
        while at < len(found):  # a long line, such as JSON: each token, whole, with what stands around it
            tokens: set[str] = set()
            start = max(end, found[at].start() - LINE_CHARS // 2)
            end = min(len(line), found[at].end() + LINE_CHARS // 2)
            while at < len(found) and found[at].start() < end:
                tokens.add(_plain(found[at].group()))
                end = max(end, found[at].end())
                at += 1
            yield line[start:end].strip(), tokens


def _plain(token: str) -> str:
    return token.casefold().rstrip(".,")
