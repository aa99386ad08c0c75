"""The approval rows: one a call, decided once. The row is the authority on what was decided."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from checkpoints.database import Pool
from graph.context import Approval
from graph.errors import AlreadyDecided, NotFound
from graph.state import Call

STATUS = {
    "approve": "approved",
    "edit": "edited",
    "reject": "rejected",
    "respond": "responded",
    "cancel": "cancelled",
    "done": "done",
}
"""What a decision turns a pending row into."""

COLUMNS = (
    "id, thread_id, interrupt_id, call_id, tool, args, risk, reason, deadline, status, decision, "
    "decided_by, decided_at, created_at"
)

# Asked again, a pending row belongs to the newer interrupt; a decided one stays as it is.
UPSERT = """
INSERT INTO approvals (id, thread_id, interrupt_id, call_id, tool, args, risk, reason, deadline)
VALUES (%(id)s, %(thread_id)s, %(interrupt_id)s, %(call_id)s, %(tool)s, %(args)s, %(risk)s, %(reason)s, %(deadline)s)
ON CONFLICT (id) DO UPDATE SET interrupt_id = EXCLUDED.interrupt_id WHERE approvals.status = 'pending'
"""

SHOW = """
INSERT INTO approvals_shown (thread_id, checkpoint_id, approval_ids) VALUES (%s, %s, %s)
ON CONFLICT (thread_id, checkpoint_id) DO UPDATE SET approval_ids = approvals_shown.approval_ids
RETURNING approval_ids
"""

DECIDE = f"""
UPDATE approvals SET status = %s, decision = %s, decided_by = %s, decided_at = now()
WHERE id = %s AND status = 'pending' RETURNING {COLUMNS}
"""  # noqa: S608 - COLUMNS is a constant

CLOSE = """
UPDATE approvals SET status = 'cancelled', decided_by = 'ballast', decided_at = now()
WHERE id = ANY(%s) AND status = 'pending'
"""


class PostgresApprovals:
    """`graph.context.Approvals` over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ask(
        self,
        calls: Sequence[Call],
        *,
        thread_id: str,
        checkpoint_id: str,
        interrupt_id: str,
        deadline: datetime,
    ) -> list[Approval]:
        """See `graph.context.Approvals.ask`."""
        ids = [call.get("approval_id") or _new_id(thread_id, checkpoint_id, call["id"]) for call in calls]
        rows = [
            {
                "id": approval_id,
                "thread_id": thread_id,
                "interrupt_id": interrupt_id,
                "call_id": call["id"],
                "tool": call["name"],
                "args": Jsonb(call["args"]),
                "risk": call["risk"],
                "reason": call["reason"],
                "deadline": deadline if call["risk"] == "medium" else None,
            }
            for approval_id, call in zip(ids, calls, strict=True)
        ]
        async with self._pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.executemany(UPSERT, rows)
            await cursor.execute(SHOW, (thread_id, checkpoint_id, ids))
            shown = await cursor.fetchone()
        return await self._by_ids(shown["approval_ids"] if shown else [])

    async def decide(self, approval_id: str, decision: Mapping[str, Any], *, by: str) -> Approval:
        """See `graph.context.Approvals.decide`: compare-and-set, one decision wins."""
        status = STATUS[decision["type"]]
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approval))
            await cursor.execute(DECIDE, (status, Jsonb(dict(decision)), by, approval_id))
            row = await cursor.fetchone()
        if row:
            return row
        known = await self.get(approval_id)
        when = known.decided_at.isoformat(timespec="seconds") if known.decided_at else None
        raise AlreadyDecided(approval_id, known.status, known.decided_by, when)

    async def close(self, approval_ids: Sequence[str]) -> None:
        """See `graph.context.Approvals.close`."""
        async with self._pool.connection() as connection:
            await connection.execute(CLOSE, (list(approval_ids),))

    async def get(self, approval_id: str) -> Approval:
        """One row.

        Raises:
            NotFound: there is none.
        """
        rows = await self._by_ids([approval_id])
        if not rows:
            raise NotFound("approval", approval_id, "see 'ballast approvals list'")
        return rows[0]

    async def find(self, *, thread_id: str | None = None, pending: bool = False) -> list[Approval]:
        """Rows of one thread or of all, pending ones first, then the oldest first."""
        query = f"""
            SELECT {COLUMNS} FROM approvals
            WHERE (%(thread)s::text IS NULL OR thread_id = %(thread)s) AND (NOT %(pending)s OR status = 'pending')
            ORDER BY status <> 'pending', created_at, position
        """  # noqa: S608 - COLUMNS is a constant
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approval))
            await cursor.execute(query, {"thread": thread_id, "pending": pending})
            return await cursor.fetchall()

    async def _by_ids(self, ids: Sequence[str]) -> list[Approval]:
        query = f"SELECT {COLUMNS} FROM approvals WHERE id = ANY(%s)"  # noqa: S608 - COLUMNS is a constant
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approval))
            await cursor.execute(query, (list(ids),))
            rows = {row.id: row for row in await cursor.fetchall()}
        return [rows[one] for one in ids if one in rows]


def _new_id(thread_id: str, checkpoint_id: str, call_id: str) -> str:
    """The same when a killed process asks again, another on a fork: there a person is asked anew."""
    seed = f"{thread_id}\0{checkpoint_id}\0{call_id}"
    return "ap-" + hashlib.sha256(seed.encode()).hexdigest()[:12]
