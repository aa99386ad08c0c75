"""One row a thread, for lists of runs: who began it, what for, how it stands, what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg.rows import class_row

from checkpoints.database import Pool
from checkpoints.outage import patient
from graph.state import Outcome, Totals

TASK_CHARS = 300
"""What is kept of a request, in characters."""

COLUMNS = (
    "thread_id, position, owner, requester, graph, task, outcome, iterations, tool_calls, tokens, cost_usd, "
    "started_at, updated_at"
)
BEGUN = """
INSERT INTO runs (thread_id, owner, requester, authors, graph, task)
VALUES (%(thread_id)s, %(sender)s, %(sender)s, ARRAY[%(sender)s::text], %(graph)s, %(task)s)
ON CONFLICT (thread_id) DO UPDATE SET
    outcome = NULL, updated_at = now(), graph = EXCLUDED.graph, task = EXCLUDED.task, requester = EXCLUDED.requester,
    authors = array_remove(runs.authors, %(sender)s::text) || ARRAY[%(sender)s::text]
"""
EDITED = """
UPDATE runs SET authors = array_remove(authors, %(by)s::text) || ARRAY[%(by)s::text] WHERE thread_id = %(thread_id)s
"""
# One that had ended stays so: nothing of it is left to run.
GOES_ON = """
UPDATE runs SET outcome = NULL, updated_at = now()
WHERE thread_id = %(thread_id)s AND outcome IN ('awaiting_approval', 'handed_to_person')
"""
STANDS = """
UPDATE runs SET outcome = %(outcome)s, iterations = %(iterations)s, tool_calls = %(tool_calls)s,
    tokens = %(tokens)s, cost_usd = %(cost_usd)s, updated_at = now()
WHERE thread_id = %(thread_id)s
"""
ENDED = "UPDATE runs SET outcome = %s, updated_at = now() WHERE thread_id = %s"
LIST = f"""
SELECT {COLUMNS} FROM runs
WHERE (%(owner)s::text IS NULL OR owner = %(owner)s)
  AND (%(position)s::bigint IS NULL OR (started_at, position) < (%(started_at)s, %(position)s))
ORDER BY started_at DESC, position DESC LIMIT %(limit)s
"""  # noqa: S608 - COLUMNS is a constant
ONE = f"SELECT {COLUMNS} FROM runs WHERE thread_id = %s"  # noqa: S608 - as above


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A thread as it is listed, with its last request, and what all its runs have spent.

    Its state is the authority; a run that was cut off has `outcome` None.
    """

    thread_id: str
    position: int
    owner: str
    requester: str
    graph: str
    task: str
    outcome: Outcome | None
    iterations: int
    tool_calls: int
    tokens: int
    cost_usd: Decimal
    started_at: datetime
    updated_at: datetime


class PostgresRuns:
    """`graph.records.RunRecords` over a pool, and the list."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @patient
    async def begun(self, thread_id: str, *, graph: str, sender: str, task: str | None) -> None:
        """See `graph.records.RunRecords.begun`."""
        values = {"thread_id": thread_id, "graph": graph, "sender": sender, "task": _short(task)}
        async with self._pool.connection() as connection:
            await connection.execute(GOES_ON if task is None else BEGUN, values)

    @patient
    async def graph(self, thread_id: str) -> str | None:
        """See `graph.records.RunRecords.graph`."""
        async with self._pool.connection() as connection:
            row = await (
                await connection.execute("SELECT graph FROM runs WHERE thread_id = %s", (thread_id,))
            ).fetchone()
        return row["graph"] if row else None

    @patient
    async def stands(self, thread_id: str, outcome: Outcome | None, totals: Totals) -> None:
        """See `graph.records.RunRecords.stands`."""
        values = {
            "thread_id": thread_id,
            "outcome": outcome,
            "iterations": totals["iterations"],
            "tool_calls": totals["tool_calls"],
            "tokens": totals["prompt_tokens"] + totals["completion_tokens"],
            "cost_usd": totals["cost_usd"],
        }
        async with self._pool.connection() as connection:
            await connection.execute(STANDS, values)

    @patient
    async def cancelled(self, thread_id: str) -> None:
        """See `graph.records.RunRecords.cancelled`."""
        async with self._pool.connection() as connection:
            await connection.execute(ENDED, ("cancelled", thread_id))

    @patient
    async def edited(self, thread_id: str, *, by: str) -> None:
        """Note that someone may have edited the thread's state: what it does next is theirs too."""
        async with self._pool.connection() as connection:
            await connection.execute(EDITED, {"thread_id": thread_id, "by": by})

    @patient
    async def list(self, *, owner: str | None = None, limit: int = 50, before: RunRow | None = None) -> list[RunRow]:
        """Rows of one owner or of all, the newest first, those after `before`."""
        values = {
            "owner": owner,
            "limit": limit,
            "position": before.position if before else None,
            "started_at": before.started_at if before else None,
        }
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(RunRow))
            return await (await cursor.execute(LIST, values)).fetchall()

    @patient
    async def get(self, thread_id: str) -> RunRow | None:
        """One thread's row."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(RunRow))
            return await (await cursor.execute(ONE, (thread_id,))).fetchone()


def _short(task: str | None) -> str | None:
    """One line that Postgres takes."""
    return None if task is None else " ".join(task.replace("\0", " ").split())[:TASK_CHARS]
