"""One approval: what is to be decided, by whom, and the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.excerpts import Excerpt, excerpts
from app.pages.fields import Field, UnreadableField, arguments, fields_of, typed_into
from app.pages.run import may_see, runs_of
from app.pages.visit import Visit, visit
from graph.approvals import Approval
from graph.errors import AlreadyDecided, Forbidden, InvalidDecision


async def show(request: Request) -> Response:
    """GET /inbox/{approval_id}. Its script asks for the item alone, or only for how it stands."""
    seen = await visit(request)
    row = await seen.desk.find(request.path_params["approval_id"])
    if seen.part == "outcome":
        return seen.respond("outcome.html", row=row, late=True)
    await seen.opened.audit.viewed([row.id], by=seen.person.name)
    return await _shown(seen, row)


async def decide(request: Request) -> Response:
    """POST /inbox/{approval_id}: take the decision of the form; one that can't be taken comes back as it was typed."""
    seen = await visit(request)
    form = await seen.form()
    row = await seen.desk.find(request.path_params["approval_id"])
    try:
        decided = await seen.desk.decide(row, _decision(seen, row, form))
    except AlreadyDecided as lost:
        return await _shown(seen, lost.row, status=HTTPStatus.CONFLICT, late=True)
    except Forbidden as refused:
        return await _shown(seen, row, status=HTTPStatus.FORBIDDEN, form=form, problem=str(refused))
    except (InvalidDecision, UnreadableField) as invalid:
        return await _shown(
            seen,
            row,
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
            form=form,
            problem=str(invalid),
            faults=invalid.faults,
        )
    if seen.part:
        return seen.respond("outcome.html", row=decided, late=False)
    return RedirectResponse(f"/inbox?decided={decided.id}", HTTPStatus.SEE_OTHER)


def _decision(seen: Visit, row: Approval, form: Mapping[str, str]) -> dict[str, Any]:
    decision: dict[str, Any] = {"type": form.get("type", "")}
    if message := form.get("message", "").replace("\r\n", "\n").strip():
        decision["message"] = message
    if decision["type"] == "edit":
        decision["args"] = arguments(_fields(seen, row), form, row.args)
    elif decision["type"] == "respond" and not message:
        raise InvalidDecision("write the answer that the agent is to be given", faults={"message": "needs an answer"})
    return decision


async def _shown(
    seen: Visit,
    row: Approval,
    *,
    status: int = HTTPStatus.OK,
    form: Mapping[str, str] | None = None,
    problem: str = "",
    faults: Mapping[str, str] | None = None,
    late: bool = False,
) -> Response:
    typed = form or {}
    choices = await seen.desk.choices(row)
    fields = typed_into(_fields(seen, row), typed, faults or {}) if "edit" in choices else ()
    return seen.respond(
        "item.html" if seen.part else "approval.html",
        status=status,
        row=row,
        choices=choices,
        fields=fields,
        typed=typed,
        problem=problem,
        faults=faults or {},
        late=late,
        now=seen.opened.services.clock.now(),
        changes=_changes(seen, row),
        excerpts=await _excerpts(seen, row),
    )


async def _excerpts(seen: Visit, row: Approval) -> Sequence[Excerpt]:
    """Where the values of an open question stand in what was read, for those who may see its run."""
    if row.status != "pending" or not await may_see(seen, row.thread_id):
        return ()
    return await excerpts(seen.opened, runs_of(seen), row)


def _fields(seen: Visit, row: Approval) -> Sequence[Field]:
    tools = {tool.name: tool for tool in seen.opened.services.tools.offered()}
    return fields_of(tools.get(row.tool), row.args)


def _changes(seen: Visit, row: Approval) -> list[tuple[Field, Field]]:
    """The arguments a person changed: as asked, and as decided."""
    if row.status != "edited" or not row.decision:
        return []
    asked = {field.name: field for field in _fields(seen, row)}
    decided = _fields(seen, replace(row, args=row.decision["args"]))
    return [(asked[field.name], field) for field in decided if field.text != asked[field.name].text]
