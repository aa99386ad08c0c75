"""One run: what it did step by step, what it spent, what it asked, what it changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.pages.plan import plan_shown
from app.pages.visit import Visit, visit
from app.plan_view import TaskView
from app.report import outcome_of, plan_of
from app.runs import Runs
from app.timeline import timeline
from graph.errors import NotFound
from graph.state import no_usage
from services.totals import of_thread

PAGE = 50
"""Steps on a page."""

RESULTS = 50
"""Raw texts that are listed: the newest."""


async def show(request: Request) -> Response:
    """GET /inbox/runs/{thread_id}[?until=CHECKPOINT][?tasks=NUMBER]."""
    seen = await visit(request)
    thread_id = request.path_params["thread_id"]
    await check_owner(seen, thread_id)
    runs = runs_of(seen)
    snapshot = await runs.known(thread_id)
    approvals = await seen.opened.approvals.find(thread_id=thread_id)
    graph, until = await runs.graph_of(thread_id), request.query_params.get("until")
    row, outcome = await seen.opened.runs.get(thread_id), outcome_of(snapshot)
    tasks = await plan_of(seen.opened, snapshot)
    return seen.respond(
        "run.html",
        thread_id=thread_id,
        row=row,
        outcome=outcome,
        going=_going(tasks) if row and row.outcome == "cancelled" else "running, or cut off",
        reason=snapshot.values.get("reason", ""),
        answer="" if snapshot.tasks else snapshot.values.get("answer", ""),
        usage={**no_usage(), **snapshot.values.get("usage", {})},
        totals=of_thread(snapshot.values),
        line=await timeline(graph, seen.opened.saver, thread_id, limit=PAGE, until=until),
        approvals=approvals,
        plan=plan_shown(tasks, approvals, first=request.query_params.get("tasks", "")),
        effects=await seen.opened.ledger.of_thread(thread_id),
        results=await seen.opened.results.listed(thread_id, limit=RESULTS),
        started="started" in request.query_params,
    )


def _going(tasks: Sequence[TaskView]) -> str:
    """How a run stands that a person stopped before its end."""
    return "planned, not run" if tasks and all(task["stands"] == "open" for task in tasks) else "stopped by a person"


def runs_of(seen: Visit) -> Runs:
    """The graph's runs as this process sees them, without printing."""
    return Runs(opened=seen.opened, progress=_silent)


def _silent(_node: str, _change: Any) -> None:
    return


async def check_owner(seen: Visit, thread_id: str) -> None:
    """Show a thread to who began it, and to admins.

    Raises:
        NotFound: there is none, or it is somebody else's: nobody is told which.
    """
    if not thread_id.isprintable():
        raise NotFound("thread", thread_id[:100])
    if not await may_see(seen, thread_id):
        raise NotFound("thread", thread_id, "see /inbox/runs")


async def may_see(seen: Visit, thread_id: str) -> bool:
    """Whether a thread, with all that was read on it, is this person's to see."""
    row = await seen.opened.runs.get(thread_id)
    return seen.person.role == "admin" or (row is not None and row.owner == seen.person.name)
