"""The approval rows: one a call, decided once. The row is the authority on what was decided."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Json

from checkpoints.database import Connection, Pool
from checkpoints.ledger import settle, state_of, storable
from checkpoints.outage import patient
from graph.approvals import Approval, Question, same_arguments
from graph.errors import AlreadyDecided, NotFound
from graph.state import Call, as_new

STATUS = {
    "approve": "approved",
    "edit": "edited",
    "reject": "rejected",
    "respond": "responded",
    "cancel": "cancelled",
    "done": "done",
    "retry": "retried",
    "abandon": "abandoned",
}
"""What a decision turns a pending row into."""

COLUMNS = (
    "id, thread_id, interrupt_id, call_id, tool, args, risk, reason, deadline, status, decision, "
    "decided_by, decided_at, applied_at, created_at, effect_key, effect_holder"
)

SHOWN = "SELECT approval_ids FROM approvals_shown WHERE thread_id = %s AND checkpoint_id = %s"
SHOWN_LAST = "SELECT approval_ids FROM approvals_shown WHERE thread_id = %s ORDER BY shown_at DESC LIMIT 1"
UNAPPLIED = """
SELECT id, call_id, tool, args, effect_key, effect_holder FROM approvals
WHERE thread_id = %s AND call_id = ANY(%s) AND applied_at IS NULL
  AND NOT (status = 'cancelled' AND decided_by = 'ballast')  -- closed, not decided: come back to, it is asked anew
ORDER BY position
"""
IN_LEDGER = "SELECT key FROM effects WHERE thread_id = %s AND key = ANY(%s)"
# Asked again, a pending row belongs to the newer interrupt; a decided one stays as it is.
UPSERT = """
INSERT INTO approvals
    (id, thread_id, interrupt_id, call_id, tool, args, risk, reason, deadline, effect_key, effect_holder)
VALUES (%(id)s, %(thread_id)s, %(interrupt_id)s, %(call_id)s, %(tool)s, %(args)s, %(risk)s, %(reason)s, %(deadline)s,
        %(effect_key)s, %(effect_holder)s)
ON CONFLICT (id) DO UPDATE SET interrupt_id = EXCLUDED.interrupt_id WHERE approvals.status = 'pending'
"""
SHOW = """
INSERT INTO approvals_shown (thread_id, checkpoint_id, turn, approval_ids) VALUES (%s, %s, %s, %s)
ON CONFLICT (thread_id, checkpoint_id) DO NOTHING
"""
TIMES_ASKED = """
SELECT count(*) AS times FROM approvals_shown WHERE thread_id = %(thread)s AND turn =
    (SELECT turn FROM approvals_shown WHERE thread_id = %(thread)s ORDER BY shown_at DESC LIMIT 1)
"""

DECIDE = f"""
UPDATE approvals SET status = %s, decision = %s, decided_by = %s, decided_at = now()
WHERE id = %s AND (status = 'pending' OR (
    -- The run has ended, the doubt has not: a person may still say what became of the effect.
    status = 'cancelled' AND %s IN ('done', 'abandoned')
    AND EXISTS (
        SELECT 1 FROM effects e WHERE e.key = effect_key AND e.thread_id = approvals.thread_id AND e.state = 'unknown')
)) RETURNING {COLUMNS}
"""  # noqa: S608 - COLUMNS is a constant

OVERRULED = f"UPDATE approvals SET decision = %s WHERE id = %s RETURNING {COLUMNS}"  # noqa: S608 - as above
APPLY = "UPDATE approvals SET applied_at = now() WHERE id = ANY(%s) AND applied_at IS NULL"
CLOSE_ALL_BUT = """
UPDATE approvals SET status = 'cancelled', decided_by = 'ballast', decided_at = now(), decision = %s
WHERE thread_id = %s AND id <> ALL(%s) AND status = 'pending'
"""
ENDED = {"type": "cancel", "message": "the run ended before this was decided"}
REPLACED = {"type": "cancel", "message": "the thread went on another way and no longer asks this"}
ELSEWHERE = "it was made in another thread and may have happened there; here it would be a new call"


Cursor = AsyncCursor[dict[str, Any]]


class PostgresApprovals:
    """`graph.approvals.Approvals` over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @patient
    async def ask(self, calls: Sequence[Call], question: Question) -> list[Approval]:
        """See `graph.approvals.Approvals.ask`."""
        async with self._pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=dict_row)
            calls = await _of_thread(cursor, calls, question.thread_id)
            await cursor.execute(SHOWN, (question.thread_id, question.checkpoint_id))
            if shown := await cursor.fetchone():
                ids = shown["approval_ids"]
            else:
                ids = await self._ids(cursor, calls, question)
                await cursor.execute(SHOW, (question.thread_id, question.checkpoint_id, question.turn, ids))
            rows = [_row(approval_id, call, question) for approval_id, call in zip(ids, calls, strict=True)]
            await cursor.executemany(UPSERT, rows)
            await cursor.execute(CLOSE_ALL_BUT, (Json(REPLACED), question.thread_id, ids))
        return await self.get_all(ids)

    async def _ids(self, cursor: Cursor, calls: Sequence[Call], question: Question) -> list[str]:
        """Each call's row: one for this very call that no run has applied yet, else a new one."""
        await cursor.execute(UNAPPLIED, (question.thread_id, [call["id"] for call in calls]))
        unapplied = await cursor.fetchall()
        ids = []
        for call in calls:
            wanted = (call["id"], call["name"], call.get("effect_key"), call.get("effect_holder"))
            same = [
                row["id"]
                for row in unapplied
                if (row["call_id"], row["tool"], row["effect_key"], row["effect_holder"]) == wanted
                and same_arguments(row["args"], call["args"])
            ]
            ids.append(same[-1] if same else _new_id(question, call))
        return ids

    async def decide(self, approval_id: str, decision: Mapping[str, Any], *, by: str) -> Approval:
        """See `graph.approvals.Approvals.decide`: compare-and-set, one decision wins."""
        status = STATUS[decision["type"]]
        async with self._pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=class_row(Approval))
            await cursor.execute(DECIDE, (status, Json(dict(decision)), by, approval_id, status))
            row = await cursor.fetchone()
            if row and row.effect_key and (found := await _settle(connection, row, by)):
                await cursor.execute(OVERRULED, (Json({**decision, "ledger": found}), approval_id))
                row = await cursor.fetchone()
        if row:
            return row
        raise AlreadyDecided(await self.get(approval_id))

    @patient
    async def close(self, thread_id: str) -> None:
        """See `graph.approvals.Approvals.close`."""
        async with self._pool.connection() as connection:
            await connection.execute(CLOSE_ALL_BUT, (Json(ENDED), thread_id, []))

    @patient
    async def apply(self, approval_ids: Sequence[str]) -> None:
        """See `graph.approvals.Approvals.apply`."""
        async with self._pool.connection() as connection:
            await connection.execute(APPLY, (list(approval_ids),))

    @patient
    async def asked_by(
        self, thread_id: str, *, interrupt_ids: Sequence[str] | None = None, checkpoint_id: str | None = None
    ) -> list[Approval]:
        """See `graph.approvals.Approvals.asked_by`."""
        if interrupt_ids is not None:
            return [row for row in await self.find(thread_id=thread_id) if row.interrupt_id in interrupt_ids]
        query, where = (SHOWN, (thread_id, checkpoint_id)) if checkpoint_id else (SHOWN_LAST, (thread_id,))
        async with self._pool.connection() as connection:
            row = await (await connection.execute(query, where)).fetchone()
        return await self.get_all(row["approval_ids"]) if row else []

    @patient
    async def times_asked(self, thread_id: str) -> int:
        """See `graph.approvals.Approvals.times_asked`."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(TIMES_ASKED, {"thread": thread_id})).fetchone()
        return int(row["times"]) if row else 0

    async def get(self, approval_id: str) -> Approval:
        """One row.

        Raises:
            NotFound: there is none.
        """
        rows = await self.get_all([approval_id])
        if not rows:
            raise NotFound("approval", approval_id, "see 'ballast approvals list'")
        return rows[0]

    @patient
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

    @patient
    async def get_all(self, approval_ids: Sequence[str]) -> list[Approval]:
        """See `graph.approvals.Approvals.get_all`."""
        query = f"SELECT {COLUMNS} FROM approvals WHERE id = ANY(%s)"  # noqa: S608 - COLUMNS is a constant
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approval))
            await cursor.execute(query, (list(approval_ids),))
            rows = {row.id: row for row in await cursor.fetchall()}
        return [rows[one] for one in approval_ids if one in rows]


async def _of_thread(cursor: Cursor, calls: Sequence[Call], thread_id: str) -> list[Call]:
    """A call of a copied or edited state may name another thread's effect: here it is one that has not run."""
    named = [call["effect_key"] for call in calls if "effect_key" in call]
    if not named:
        return list(calls)
    await cursor.execute(IN_LEDGER, (thread_id, named))
    known = {row["key"] for row in await cursor.fetchall()}
    return [
        call if call.get("effect_key") in {None, *known} else {**as_new(call), "reason": ELSEWHERE} for call in calls
    ]


async def _settle(connection: Connection, row: Approval, by: str) -> str | None:
    """Write what a person says of an effect in doubt into the ledger; its state when it was in doubt no longer."""
    key, said = row.effect_key or "", (row.decision or {}).get("message")
    end = partial(settle, connection, key, thread_id=row.thread_id, holder=row.effect_holder)
    match row.status:
        case "done":
            settled = await end("done", said or f"{by} says that it happened")
        case "retried":
            settled = await end("failed", f"{by} says that it did not happen")
        case "abandoned":
            given_up = f"given up by {by}, it may have happened: {said or 'no reason given'}"
            settled = await end("failed", given_up, abandoned=True)
        case _:  # cancelled: the doubt stays
            return None
    return None if settled else await state_of(connection, key, row.thread_id)


def _row(approval_id: str, call: Call, question: Question) -> dict[str, Any]:
    return {
        "id": approval_id,
        "thread_id": question.thread_id,
        "interrupt_id": question.interrupt_id,
        "call_id": call["id"],
        "tool": call["name"],
        "args": Json(call["args"]),
        "risk": call["risk"],
        "reason": storable(call["reason"]),
        "deadline": question.deadline if call["risk"] == "medium" and "effect_key" not in call else None,
        "effect_key": call.get("effect_key"),
        "effect_holder": call.get("effect_holder"),
    }


def _new_id(question: Question, call: Call) -> str:
    """The same when a killed process asks again, another on a fork: there a person is asked anew."""
    seed = f"{question.thread_id}\0{question.checkpoint_id}\0{call['id']}"
    return "ap-" + hashlib.sha256(seed.encode()).hexdigest()[:12]
