"""The inbox: what waits for a decision, the longest waiting first, so that nothing moves when something new comes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.pages.visit import Visit, visit
from graph.approvals import Approval
from graph.errors import NotFound

PAGE = 50
"""Approvals on a page."""


async def show(request: Request) -> Response:
    """GET /inbox[?after=ID]: a page of pending approvals; its script asks for the list alone."""
    seen = await visit(request)
    kinds = await seen.desk.kinds()
    after = request.query_params.get("after")
    after = after if after and after.isprintable() else None
    rows = await seen.desk.inbox.page(kinds, limit=PAGE + 1, beyond=after) if kinds else []
    template = "list.html" if seen.part == "list" else "inbox.html"
    return seen.respond(
        template,
        rows=rows[:PAGE],
        more=rows[PAGE - 1].id if len(rows) > PAGE else None,
        after=after,
        pending=sum(kind.count for kind in kinds),
        now=kinds[0].at if kinds else seen.opened.services.clock.now(),
        decided=await _decided(seen),
    )


async def _decided(seen: Visit) -> Approval | None:
    """What the person has just decided, to say so above the list."""
    approval_id = seen.request.query_params.get("decided")
    if not approval_id:
        return None
    try:
        row = await seen.desk.find(approval_id)
    except NotFound:
        return None
    return row if row.status != "pending" else None
