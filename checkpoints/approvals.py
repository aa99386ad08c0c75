"""The approval rows: one a call, decided once. The row is the authority on what was decided."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Json

from checkpoints import approval_statements as sql
from checkpoints import jobs
from checkpoints.database import Connection, Pool
from checkpoints.ledger import settle, state_of, storable
from checkpoints.outage import patient
from graph.approvals import Approval, Question, same_arguments
from graph.errors import AlreadyDecided, NotFound
from graph.state import Call, as_new

Cursor = AsyncCursor[dict[str, Any]]


class PostgresApprovals:
    """`graph.approvals.Approvals` over a pool."""

    def __init__(self, pool: Pool, *, notices: jobs.Notices = jobs.NOBODY) -> None:
        self._pool, self._notices = pool, notices

    @patient
    async def ask(self, calls: Sequence[Call], question: Question) -> list[Approval]:
        """See `graph.approvals.Approvals.ask`."""
        ids = await self._listed(sql.SHOWN, (question.thread_id, question.checkpoint_id))
        decided = [row for row in await self.get_all(ids) if row.status != "pending"] if ids else []
        if ids and len(decided) == len(ids):  # elsewhere: nothing is left to ask
            await self._close_all_but(question.thread_id, ids, sql.REPLACED)
            return decided
        async with self._pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=dict_row)
            calls = await _of_thread(cursor, calls, question.thread_id)
            if not ids:
                ids = await self._ids(cursor, calls, question)
                await cursor.execute(sql.SHOW, (question.thread_id, question.checkpoint_id, question.turn, ids))
            rows = [_row(approval_id, call, question) for approval_id, call in zip(ids, calls, strict=True)]
            for row in rows:
                stored = await (await cursor.execute(sql.UPSERT, row)).fetchone()
                if not (stored and stored["is_new"]):
                    continue
                await jobs.tell(cursor, row["id"], self._notices)
                if row["window_s"] is not None:
                    await jobs.advance(cursor, question.thread_id, in_s=row["window_s"])
            await cursor.execute(sql.CLOSE_ALL_BUT, (Json(sql.REPLACED), question.thread_id, ids))
        return await self.get_all(ids)

    async def _listed(self, query: str, where: tuple[Any, ...]) -> list[str]:
        """The ids of a list that was shown; empty when none was."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(query, where)).fetchone()
        return list(row["approval_ids"]) if row else []

    async def _close_all_but(self, thread_id: str, ids: Sequence[str], why: Mapping[str, str]) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(sql.CLOSE_ALL_BUT, (Json(why), thread_id, list(ids)))

    async def _ids(self, cursor: Cursor, calls: Sequence[Call], question: Question) -> list[str]:
        """Each call's row: one for this very call that no run has applied yet, else a new one."""
        await cursor.execute(sql.UNAPPLIED, (question.thread_id, [call["id"] for call in calls]))
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

    async def decide(self, approval_id: str, decision: Mapping[str, Any], *, by: str, grace_s: float = 0.0) -> Approval:
        """See `graph.approvals.Approvals.decide`: compare-and-set, one decision wins."""
        [row] = await self.decide_all({approval_id: decision}, by=by, grace_s=grace_s)
        return row

    async def decide_all(
        self, decisions: Mapping[str, Mapping[str, Any]], *, by: str, grace_s: float = 0.0
    ) -> list[Approval]:
        """Take these decisions, by approval id, all or none.

        A job goes on with their threads, `grace_s` seconds later when the caller does so itself.

        Raises:
            AlreadyDecided: someone else was first with one of them.
            NotFound: there is no such approval.
        """
        rows = []
        try:
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(sql.LOCK, (list(decisions),))
                for approval_id, decision in decisions.items():
                    rows.append(await _decided(connection, approval_id, decision, by))
                plain = connection.cursor(row_factory=dict_row)
                for thread_id in {row.thread_id for row in rows}:
                    await jobs.advance(plain, thread_id, in_s=grace_s)
        except _Late as late:
            raise AlreadyDecided(await self.get(late.approval_id)) from None
        return rows

    async def release_due(self, thread_id: str, *, overdue_s: float) -> list[Approval]:
        """Let the calls of a thread go out whose deadline has passed; what is overdue for longer expires instead."""
        values = {
            "thread_id": thread_id,
            "overdue_s": overdue_s,
            "approve": Json({"type": "approve", "message": "nobody cancelled it before its deadline"}),
            "expire": Json({"type": "expire", "message": "nothing released it in time"}),
        }
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approval))
            return await (await cursor.execute(sql.RELEASE_DUE, values)).fetchall()

    @patient
    async def to_go_on(self, thread_id: str) -> bool:
        """Whether a decision waits for a run of the thread to take it over, or a run of it was cut off."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(sql.TO_GO_ON, {"thread_id": thread_id})).fetchone()
        return bool(row and row["something"])

    async def advance_later(self, thread_id: str, seconds: float) -> None:
        """Have a worker look at the thread again, by Postgres' clock. See `checkpoints.jobs.advance`."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await jobs.advance(cursor, thread_id, in_s=seconds)

    async def tell_later(self, way: str, args: dict[str, Any], seconds: float) -> None:
        """Have an approval told by one way once more, by Postgres' clock."""
        async with self._pool.connection() as connection:
            await jobs.tell_by(connection.cursor(row_factory=dict_row), way, args, in_s=seconds)

    @patient
    async def close(self, thread_id: str) -> None:
        """See `graph.approvals.Approvals.close`."""
        await self._close_all_but(thread_id, [], sql.ENDED)

    @patient
    async def apply(self, approval_ids: Sequence[str]) -> None:
        """See `graph.approvals.Approvals.apply`."""
        async with self._pool.connection() as connection:
            await connection.execute(sql.APPLY, (list(approval_ids),))

    @patient
    async def asked_by(
        self, thread_id: str, *, interrupt_ids: Sequence[str] | None = None, checkpoint_id: str | None = None
    ) -> list[Approval]:
        """See `graph.approvals.Approvals.asked_by`."""
        query: str = sql.SHOWN_LAST
        where: tuple[Any, ...] = (thread_id,)
        if interrupt_ids is not None:
            query, where = sql.SHOWN_UNDER, (thread_id, list(interrupt_ids))
        elif checkpoint_id:
            query, where = sql.SHOWN, (thread_id, checkpoint_id)
        ids = await self._listed(query, where)
        return await self.get_all(ids) if ids else []

    @patient
    async def times_asked(self, thread_id: str) -> int:
        """See `graph.approvals.Approvals.times_asked`."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(sql.TIMES_ASKED, {"thread": thread_id})).fetchone()
        return int(row["times"]) if row else 0

    @patient
    async def passed(self, thread_id: str, checkpoint_id: str) -> bool:
        """Whether the thread asked at this checkpoint, and stands there still or has gone on from it."""
        values = {"thread": thread_id, "checkpoint": checkpoint_id}
        async with self._pool.connection() as connection:
            row = await (await connection.execute(sql.PASSED, values)).fetchone()
        return bool(row and row["passed"])

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
        """See `graph.approvals.Approvals.find`."""
        query = f"""
            SELECT {sql.COLUMNS} FROM approvals
            WHERE (%(thread)s::text IS NULL OR thread_id = %(thread)s) AND (NOT %(pending)s OR status = 'pending')
            ORDER BY status <> 'pending', created_at, position
        """  # noqa: S608 - sql.COLUMNS is a constant
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approval))
            await cursor.execute(query, {"thread": thread_id, "pending": pending})
            return await cursor.fetchall()

    @patient
    async def get_all(self, approval_ids: Sequence[str]) -> list[Approval]:
        """See `graph.approvals.Approvals.get_all`."""
        query = f"SELECT {sql.COLUMNS} FROM approvals WHERE id = ANY(%s)"  # noqa: S608 - sql.COLUMNS is a constant
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approval))
            await cursor.execute(query, (list(approval_ids),))
            rows = {row.id: row for row in await cursor.fetchall()}
        return [rows[one] for one in approval_ids if one in rows]


class _Late(Exception):
    def __init__(self, approval_id: str) -> None:
        self.approval_id = approval_id


async def _decided(connection: Connection, approval_id: str, decision: Mapping[str, Any], by: str) -> Approval:
    """The row after this decision; the ledger follows one on an effect in doubt."""
    cursor = connection.cursor(row_factory=class_row(Approval))
    status = sql.STATUS[decision["type"]]
    await cursor.execute(sql.DECIDE, (status, Json(dict(decision)), by, approval_id, status))
    row = await cursor.fetchone()
    if row and row.effect_key and (found := await _settle(connection, row, by)):
        await cursor.execute(sql.OVERRULED, (Json({**decision, "ledger": found}), approval_id))
        row = await cursor.fetchone()
    if row is None:
        raise _Late(approval_id)
    return row


async def _of_thread(cursor: Cursor, calls: Sequence[Call], thread_id: str) -> list[Call]:
    """A call of a copied or edited state may name another thread's effect: here it is one that has not run."""
    named = [call["effect_key"] for call in calls if "effect_key" in call]
    if not named:
        return list(calls)
    await cursor.execute(sql.IN_LEDGER, (thread_id, named))
    known = {row["key"] for row in await cursor.fetchall()}
    return [
        call if call.get("effect_key") in {None, *known} else {**as_new(call), "reason": sql.ELSEWHERE}
        for call in calls
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
        "window_s": question.window_s if call["risk"] == "medium" and "effect_key" not in call else None,
        "effect_key": call.get("effect_key"),
        "effect_holder": call.get("effect_holder"),
        "origins": Json(origins) if (origins := question.origins.get(call["id"])) else None,
    }


def _new_id(question: Question, call: Call) -> str:
    """The same when a killed process asks again, another on a fork: there a person is asked anew."""
    seed = f"{question.thread_id}\0{question.checkpoint_id}\0{call['id']}"
    return "ap-" + hashlib.sha256(seed.encode()).hexdigest()[:12]
