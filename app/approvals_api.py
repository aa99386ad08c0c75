"""The JSON API under `/approvals`, for programs: the pages' rules, a token in the headers, never a cookie."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app import report
from app.deciding import Desk
from app.identity import identify, presented
from app.pages.bodies import json_of
from app.server import engine
from checkpoints.approval_statements import STATUS
from graph.approvals import Approval
from graph.errors import AlreadyDecided, BadSetting

LIMIT, MOST = 50, 200
STATUSES = ("pending", *STATUS.values(), "expired")


async def index(request: Request) -> Response:
    """GET /approvals?status=pending|...|all&limit=50&before=ID: the newest first.

    {"approvals": [...], "before": the id to ask on with, or null}.
    """
    desk = await _desk(request)
    asked = request.query_params.get("status", "pending")
    if asked not in (*STATUSES, "all"):
        raise BadSetting(f"status: one of {', '.join(STATUSES)}, all")
    status, limit = None if asked == "all" else asked, _limit(request.query_params.get("limit", str(LIMIT)))
    before = request.query_params.get("before")
    if before is not None and not before.isprintable():
        raise BadSetting("before: the id of an approval")
    kinds = await desk.kinds(status=status)
    rows = await desk.inbox.page(kinds, limit=limit + 1, beyond=before, status=status, newest_first=True)
    await desk.opened.audit.viewed([row.id for row in rows[:limit]], by=desk.person.name)
    more = rows[limit - 1].id if len(rows) > limit else None
    return JSONResponse({"approvals": [_shape(row) for row in rows[:limit]], "before": more})


async def show(request: Request) -> Response:
    """GET /approvals/{approval_id}."""
    desk = await _desk(request)
    row = await desk.find(request.path_params["approval_id"])
    await desk.opened.audit.viewed([row.id], by=desk.person.name)
    return JSONResponse(_shape(row))


async def decide(request: Request) -> Response:
    """POST /approvals/{approval_id} {"type", "args"?, "message"?}; arguments left out of an edit stay as they are."""
    desk = await _desk(request)
    decision = await json_of(request)
    if unknown := sorted(set(decision) - {"type", "args", "message"}):
        raise HTTPException(400, f"there is no field {unknown[0][:100]!r}: send type, and args or message")
    row = await desk.find(request.path_params["approval_id"])
    if decision.get("type") == "edit" and isinstance(decision.get("args"), dict):
        decision["args"] = {**row.args, **decision["args"]}
    try:
        return JSONResponse(_shape(await desk.decide(row, decision)))
    except AlreadyDecided as lost:
        return JSONResponse({"detail": str(lost), "approval": _shape(lost.row)}, 409)


async def _desk(request: Request) -> Desk:
    opened = await engine()
    return Desk(opened=opened, person=await identify(opened, request, token=presented(request)))


def _limit(text: str) -> int:
    if not text.isdecimal() or len(text) > len(str(MOST)) or not 1 <= int(text) <= MOST:
        raise BadSetting(f"limit: a whole number from 1 to {MOST}")
    return int(text)


def _shape(row: Approval) -> dict[str, Any]:
    return {
        **report.shape(row),
        "choices": list(row.choices) if row.status == "pending" else [],
        "created_at": row.created_at.isoformat() if row.created_at else None,
    }
