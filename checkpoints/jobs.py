"""Putting jobs into procrastinate's queue, in the transaction of whatever they follow from.

By its own SQL function: what only puts jobs in does not load the library. `app/worker.py` takes them out.
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import AsyncCursor
from psycopg.types.json import Jsonb

QUEUE = "threads"
"""Jobs that go on with a thread."""

ADVANCE = "advance"
"""Release what is due in a thread, and go on with what was decided."""

DEFER: LiteralString = """
SELECT procrastinate_defer_jobs_v1(ARRAY[
    ROW(%(queue)s, %(task)s, 0, NULL, NULL, %(args)s, now() + %(in_s)s::float8 * interval '1 second')
        ::procrastinate_job_to_defer_v1
])
"""
# The transaction's own time, as a deadline set in it: the job comes due with the deadline, not before it.


async def advance(
    cursor: AsyncCursor[dict[str, Any]], thread_id: str, *, in_s: float = 0.0, cut_off: bool = False
) -> None:
    """Have a worker or server go on with the thread, `in_s` seconds from now by Postgres' clock.

    `cut_off`: a run of it did not end, and goes on even when nothing is left to decide or to apply.
    """
    args = {"thread_id": thread_id, "cut_off": cut_off}
    await cursor.execute(DEFER, {"queue": QUEUE, "task": ADVANCE, "args": Jsonb(args), "in_s": in_s})
