"""`ballast approvals ...`: list, show and decide."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.person import person
from app.session import AsJson, emit, finish, with_services
from graph.errors import AlreadyDecided, InvalidDecision

if TYPE_CHECKING:
    from app.lifespan import Opened

approvals_app = typer.Typer(help="Calls that wait for a person, and deciding them.")

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="One or more approval ids.")]
Message = Annotated[str | None, typer.Option("--message", "-m", help="What to tell the agent.")]
Resume = Annotated[bool, typer.Option("--resume", help="Also go on with the thread in this process.")]


@approvals_app.command("list")
def list_(
    thread: Annotated[str | None, typer.Option(help="Only this thread.")] = None,
    pending: Annotated[bool, typer.Option(help="Only those still undecided.")] = False,
    as_json: AsJson = False,
) -> None:
    """Approvals, pending ones first."""
    from app import report
    from app.show import approvals, progress

    async def do(services: Opened) -> Any:
        rows = await services.approvals.find(thread_id=thread, pending=pending)
        if thread is not None and not rows:
            from app.runs import Runs

            await Runs(opened=services, progress=progress()).known(thread)
        return [report.shape(row) for row in rows]

    emit(with_services(do), as_json, approvals)


@approvals_app.command()
def show(approval_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """One approval, whole."""
    from app import report
    from app.show import record

    async def do(services: Opened) -> Any:
        row = await services.approvals.get(approval_id)
        await services.audit.viewed([row.id], by=person())
        return report.shape(row)

    emit(with_services(do), as_json, record)


@approvals_app.command()
def approve(ids: Ids, resume: Resume = False, as_json: AsJson = False) -> None:
    """Let the calls run as shown."""
    _decide(ids, {"type": "approve"}, resume, as_json)


@approvals_app.command()
def reject(ids: Ids, message: Message = None, resume: Resume = False, as_json: AsJson = False) -> None:
    """Refuse the calls; the agent is told why and goes on."""
    _decide(ids, {"type": "reject", "message": message}, resume, as_json)


@approvals_app.command()
def edit(
    approval_id: Annotated[str, typer.Argument(metavar="ID")],
    args: Annotated[str, typer.Option("--args", help="Arguments as a JSON object; those left out stay as they are.")],
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Change a call's arguments and let it run so."""
    try:
        changed = json.loads(args)
    except ValueError as error:
        raise InvalidDecision(f"--args is not JSON: {error}") from None
    if not isinstance(changed, dict):
        raise InvalidDecision("--args must be a JSON object, such as '{\"quantity\": 2}'")
    _decide([approval_id], {"type": "edit", "args": changed}, resume, as_json)


@approvals_app.command()
def respond(
    approval_id: Annotated[str, typer.Argument(metavar="ID")],
    message: Annotated[str, typer.Option("--message", "-m", help="The result the agent is given.")],
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Answer in the tool's place; it does not run."""
    _decide([approval_id], {"type": "respond", "message": message}, resume, as_json)


@approvals_app.command()
def cancel(ids: Ids, resume: Resume = False, as_json: AsJson = False) -> None:
    """Do not run the calls, and stop the run they belong to."""
    _decide(ids, {"type": "cancel"}, resume, as_json)


@approvals_app.command()
def done(ids: Ids, message: Message = None, resume: Resume = False, as_json: AsJson = False) -> None:
    """Report that you did a critical action yourself, or that one in doubt happened; the message is its result."""
    _decide(ids, {"type": "done", "message": message}, resume, as_json)


@approvals_app.command()
def retry(ids: Ids, resume: Resume = False, as_json: AsJson = False) -> None:
    """Say that actions in doubt did not happen: they run again, under the same idempotency key."""
    _decide(ids, {"type": "retry"}, resume, as_json)


@approvals_app.command()
def abandon(ids: Ids, message: Message = None, resume: Resume = False, as_json: AsJson = False) -> None:
    """Give up actions in doubt: they never run again, and the agent is told why."""
    _decide(ids, {"type": "abandon", "message": message}, resume, as_json)


def _decide(ids: list[str], decision: dict[str, Any], resume: bool, as_json: bool) -> None:
    from app import report
    from app.show import decided, progress, run_result

    ids = list(dict.fromkeys(ids))

    async def do(services: Opened) -> Any:
        from app.runs import Runs
        from checkpoints import jobs
        from graph.context import Context

        # All are checked before the first is decided: a typing error in one leaves the others open.
        wanted = [await _checked(services, approval_id, decision) for approval_id in ids]
        grace_s = jobs.GRACE_S if resume else 0.0
        rows = await services.approvals.decide_all(dict(zip(ids, wanted, strict=True)), by=person(), grace_s=grace_s)
        if not resume:
            return [report.shape(row) for row in rows]
        threads = {row.thread_id for row in rows}
        if len(threads) > 1:
            raise InvalidDecision("decided; --resume goes on with one thread, these belong to several: resume each")
        return await Runs(opened=services, progress=progress()).resume(threads.pop(), context=Context())

    result = with_services(do)
    if resume:
        finish(result, as_json, run_result)
    else:
        emit(result[0] if len(ids) == 1 else result, as_json, decided)


async def _checked(services: Opened, approval_id: str, decision: dict[str, Any]) -> dict[str, Any]:
    """The decision as it may be taken; arguments left out of an edit stay as they are.

    Raises:
        NotFound, AlreadyDecided, InvalidDecision: it may not.
        Forbidden: the tool needs four eyes, and whoever sits here asked for the call.
    """
    from app.deciding import allowed
    from graph.people import Person

    row = await services.approvals.get(approval_id)
    if row.status != "pending" and not (row.effect_key and row.status == "cancelled"):
        raise AlreadyDecided(row)
    if "args" in decision:
        decision = {**decision, "args": {**row.args, **decision["args"]}}
    return await allowed(services, Person(name=person(), role="admin", local=True), row, decision)
