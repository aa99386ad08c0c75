"""Putting jobs into procrastinate's queues, in the transaction of whatever they follow from.

By its own SQL function: what only puts jobs in does not load the library. `app/queues.py` takes them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import AsyncCursor
from psycopg.types.json import Jsonb

QUEUE = "threads"
"""Jobs that go on with a thread."""

GRACE_S = 30.0
"""How long a thread is left to the process that took a decision and goes on with it itself, in seconds."""

ADVANCE = "advance"
"""Release what is due in a thread, and go on with what was decided."""

WEBHOOK, MAIL = "webhook", "mail"
"""Tell of a new approval: a queue and a task each, so that one receiver that hangs holds up no other."""

DEFER: LiteralString = """
SELECT procrastinate_defer_jobs_v1(ARRAY[
    ROW(%(queue)s, %(task)s, 0, NULL, NULL, %(args)s, now() + %(in_s)s::float8 * interval '1 second')
        ::procrastinate_job_to_defer_v1
])
"""
# The transaction's own time, as a deadline set in it: the job comes due with the deadline, not before it.

Cursor = AsyncCursor[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Notices:
    """By what ways people are told of a new approval; unless set by none."""

    webhook: bool = False
    mail: tuple[str, ...] = ()
    """Addresses; each has a job of its own, so that one that is tried again repeats no other."""


NOBODY = Notices()


async def advance(cursor: Cursor, thread_id: str, *, in_s: float = 0.0) -> None:
    """Have a worker or server go on with the thread, `in_s` seconds from now by Postgres' clock."""
    await _defer(cursor, QUEUE, ADVANCE, {"thread_id": thread_id}, in_s)


async def tell(cursor: Cursor, approval_id: str, notices: Notices) -> None:
    """Have a worker or server tell of a new approval."""
    if notices.webhook:
        await tell_by(cursor, WEBHOOK, {"approval_id": approval_id})
    for address in notices.mail:
        await tell_by(cursor, MAIL, {"approval_id": approval_id, "to": address})


async def tell_by(cursor: Cursor, way: str, args: dict[str, Any], *, in_s: float = 0.0) -> None:
    """Have it told by one way, `in_s` seconds from now by Postgres' clock."""
    await _defer(cursor, way, way, args, in_s)


async def _defer(cursor: Cursor, queue: str, task: str, args: dict[str, Any], in_s: float) -> None:
    await cursor.execute(DEFER, {"queue": queue, "task": task, "args": Jsonb(args), "in_s": in_s})
