"""`ballast audit`: what was asked, seen and decided, by whom."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.session import AsJson, emit, with_services

if TYPE_CHECKING:
    from app.lifespan import Opened


def audit(
    thread: Annotated[str | None, typer.Option(help="Only this thread.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="List at most this many.")] = 200,
    as_json: AsJson = False,
) -> None:
    """What was asked, seen and decided, by whom, newest first. Nothing in it can be changed or deleted."""
    from app.show import table

    async def do(services: Opened) -> Any:
        entries = await services.audit.list(thread_id=thread, limit=limit)
        return [{**asdict(one), "at": one.at.isoformat()} for one in entries]

    emit(with_services(do), as_json, table("at", "actor", "action", "tool", "status", "approval_id", "thread_id"))
