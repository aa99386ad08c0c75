"""The raw text a tool gave, as text: a person reads what the model never saw."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain

from starlette.requests import Request
from starlette.responses import Response

from app.excerpts import outside_values
from app.marking import SEARCHED, Span, spans_of, within
from app.pages.run import check_owner
from app.pages.visit import Visit, visit
from app.visible import count_hiding
from graph.errors import NotFound

PAGE_CHARS = 20_000
"""Of a text on one page."""


async def show(request: Request) -> Response:
    """GET /inbox/results/{handle}/{thread_id}[?page=NUMBER][?for=APPROVAL]; what the approval has from it is marked."""
    seen = await visit(request)
    thread_id, handle = request.path_params["thread_id"], request.path_params["handle"]
    await check_owner(seen, thread_id)
    whole = await seen.opened.results.opened(thread_id, handle)
    if whole is None:
        raise NotFound("result", handle[:100], "it is none of this run's")
    asked = request.query_params.get("for", "")
    values = await _values(seen, asked, thread_id) if asked else ()
    await seen.opened.audit.opened(thread_id, whole, by=seen.person.name)
    text = whole.text.replace("\r\n", "\n")
    spans, spelt = await asyncio.to_thread(lambda: (spans_of(text, values), count_hiding(text)))
    pages = max(1, -(-len(text) // PAGE_CHARS))
    page = _page(request.query_params.get("page", ""), spans, pages)
    start, end = (page - 1) * PAGE_CHARS, page * PAGE_CHARS
    return seen.respond(
        "result.html",
        thread_id=thread_id,
        handle=handle,
        tool=whole.tool,
        chars=len(whole.text),
        spelt=spelt,
        asked=asked,
        places=len(spans),
        searched=SEARCHED,
        text=text[start:end],
        spans=within(spans, start, end),
        page=page,
        pages=pages,
        next_mark=next((one // PAGE_CHARS + 1 for one, _ in spans if one >= end), None),
    )


async def _values(seen: Visit, approval_id: str, thread_id: str) -> Sequence[str]:
    """What of an approval's arguments is from outside.

    Raises:
        NotFound: there is no such approval of this thread that this person may see.
    """
    row = await seen.desk.find(approval_id)
    if row.thread_id != thread_id:
        raise NotFound("approval", approval_id[:100], "it is of another run")
    return list(dict.fromkeys(chain(*outside_values(row).values())))


def _page(wanted: str, spans: Sequence[Span], pages: int) -> int:
    """The page that was asked for, else that of the first mark, else the first."""
    if wanted.isascii() and wanted.isdigit() and len(wanted) <= len(str(pages)):
        return min(max(1, int(wanted)), pages)
    return min(spans[0][0] // PAGE_CHARS + 1, pages) if spans else 1
