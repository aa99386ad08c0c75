"""The list of runs: what for, how they stand, what they cost."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.pages.visit import visit

PAGE = 50


async def show(request: Request) -> Response:
    """GET /inbox/runs[?before=THREAD]: one's own runs, an admin's list has all; the newest first."""
    seen = await visit(request)
    before = request.query_params.get("before", "")
    last = await seen.opened.runs.get(before) if before.isprintable() and before else None
    owner = None if seen.person.role == "admin" else seen.person.name
    rows = await seen.opened.runs.list(owner=owner, limit=PAGE + 1, before=last)
    more = rows[PAGE - 1].thread_id if len(rows) > PAGE else None
    return seen.respond("runs.html", rows=rows[:PAGE], more=more, before=last is not None, everyone=owner is None)
