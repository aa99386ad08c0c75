"""The offline model's simple requests: what is asked, and the calls that answer it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.offline_reading import Result, Seen, Step

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A form of request: `pattern` matches the whole of it, `call` makes its tool call."""

    usage: str
    pattern: re.Pattern[str]
    call: Callable[[re.Match[str]], Call]


def _request(usage: str, pattern: str, call: Callable[[re.Match[str]], Call]) -> Request:
    return Request(usage=usage, pattern=re.compile(pattern, re.IGNORECASE | re.DOTALL), call=call)


def _email(found: re.Match[str]) -> Call:
    return "send_email", {"to": found["to"], "subject": found["subject"], "body": found["body"]}


def _order(found: re.Match[str]) -> Call:
    price = float(found["price"].replace(",", ""))
    return "place_order", {"item": found["item"], "quantity": int(found["quantity"]), "unit_price": price}


def _deletion(found: re.Match[str]) -> Call:
    ids = [part for part in re.split(r"[,\s]+(?:and\s+)?", found["ids"].strip()) if part]
    return "delete_records", {"table": found["table"], "ids": ids}


_SIMPLE = (
    _request("list files", r"list (?:all |the )?(?:files|documents)", lambda _: ("list_files", {})),
    _request("list mail", r"list (?:all |the |my )?(?:e?-?mails?|messages)", lambda _: ("list_mail", {})),
    _request("read mail ID", r"read (?:e?-?mail|message) (?P<id>\S+)", lambda m: ("read_mail", {"id": m["id"]})),
    _request("read FILE", r"read (?:the file |file )?(?P<path>\S+)", lambda m: ("read_file", {"path": m["path"]})),
    _request(
        "search for WORDS, or find WORDS",
        r"(?:search(?: for)?|find|look for) (?:the |an? )?(?P<query>.+)",
        lambda m: ("search_documents", {"query": m["query"]}),
    ),
    _request(
        "send an email to ADDRESS about SUBJECT: TEXT",
        r"send (?:an? )?e?-?mail to (?P<to>\S+@\S+) about (?P<subject>[^:\n]+):\s*(?P<body>.+)",
        _email,
    ),
    _request(
        "order NUMBER ITEM at PRICE",
        r"order (?P<quantity>\d{1,9}) (?P<item>.+?) (?:at|for) \$?(?P<price>\d[\d,]*(?:\.\d+)?)"
        r"(?: ?USD)?(?: each)?",
        _order,
    ),
    _request(
        "write FILE: TEXT",
        r"write (?:to )?(?P<path>\S+?):\s*(?P<text>.+)",
        lambda m: ("write_file", {"path": m["path"], "text": m["text"]}),
    ),
    _request("fetch URL", r"fetch (?P<url>https?://\S+)", lambda m: ("fetch_url", {"url": m["url"]})),
    _request(
        "delete records ID,ID from TABLE",
        r"delete (?:the )?records? (?P<ids>[\w\-]+(?:(?:,\s*|\s+)(?:and\s+)?[\w\-]+)*?)"
        r" from (?:the )?(?P<table>\w+)(?: table)?",
        _deletion,
    ),
)

REQUESTS = (
    (
        "NAME asked by mail for ITEM: find the request and the catalogue price, check the purchasing policy, "
        "order them, mail a confirmation, and delete the old supplier records"
    ),
    *(request.usage for request in _SIMPLE),
    "several of these that begin with a verb, joined by commas or 'and'",
)
"""All requests the offline model knows, as a user would type them."""

_BEFORE_A_VERB = re.compile(
    r"\s*(?:[,;\n]\s*(?:and\s+)?|\s+and\s+)(?=(?:list|read|search|find|look for|send|order|write|fetch|delete)\b)",
    re.IGNORECASE,
)


def calls_for(request: str) -> list[Call] | None:
    """The calls that answer a request of one or several known forms; None when it is of another."""
    whole = _call_for(request)
    if whole and whole[0] in _TAKE_TEXT:
        return [whole]  # the words that would part it are its text
    parts = [_call_for(part) for part in _BEFORE_A_VERB.split(request)]
    several = [part for part in parts if part]
    return several if len(several) == len(parts) else [whole] if whole else None


def simple(seen: Seen) -> Step | None:
    """The calls, then their results as the answer; None when the request is of no known form."""
    calls = calls_for(seen.request)
    if calls is None:
        return None
    return Step(text="\n".join(map(_told, seen.all))) if seen.all else Step(text="", calls=calls)


_TAKE_TEXT = ("send_email", "write_file")


def _call_for(request: str) -> Call | None:
    for form in _SIMPLE:
        # a sentence may end in a full stop, a text to write or send keeps its own
        asked = request.strip() if "TEXT" in form.usage else request.strip().rstrip(" .?!")
        if found := form.pattern.fullmatch(asked):
            return form.call(found)
    return None


def _told(result: Result) -> str:
    return f"{result.tool} was not done: {result.text}" if result.failed else f"{result.tool}:\n{result.text}"
