"""The audit log: what was asked, seen and decided, by whom. Append-only.

Requests and decisions are written by the database itself (`migrations/0009_people.sql`), in the transaction that
makes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from checkpoints.database import Pool
from checkpoints.ledger import storable
from checkpoints.outage import patient
from graph.results import Whole

VIEWED = """
INSERT INTO audit (actor, action, approval_id, thread_id, tool, args_sha256, status)
SELECT %s, 'view', id, thread_id, tool, encode(sha256(convert_to(args::text, 'UTF8')), 'hex'), status
FROM approvals WHERE id = ANY(%s)
"""
OPENED = """
INSERT INTO audit (actor, action, approval_id, thread_id, tool, args_sha256, status)
VALUES (%s, 'open', '', %s, %s, %s, '')
"""
LIST = """
SELECT id, at, actor, action, approval_id, thread_id, tool, args_sha256, status FROM audit
WHERE (%(thread)s::text IS NULL OR thread_id = %(thread)s) ORDER BY id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the log."""

    id: int
    at: datetime
    actor: str
    """Who asked, saw or decided; `timer` and `ballast` for what happened by itself."""
    action: Literal["request", "view", "decision", "open"]
    """`open`: a raw text that a tool gave was read."""
    approval_id: str
    """Empty when a text was read."""
    thread_id: str
    tool: str
    args_sha256: str
    """Of the arguments asked about, seen, or let run, as JSON; of the text that was read."""
    status: str
    """Of the approval after it; empty when a text was read."""


class PostgresAudit:
    """The log over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def viewed(self, approval_ids: Sequence[str], *, by: str) -> None:
        """Note that someone was shown these approvals, whole."""
        async with self._pool.connection() as connection:
            await connection.execute(VIEWED, (by, list(approval_ids)))

    async def opened(self, thread_id: str, whole: Whole, *, by: str) -> None:
        """Note that someone read a raw text, or a page of it."""
        digest = hashlib.sha256(whole.text.encode()).hexdigest()
        async with self._pool.connection() as connection:
            await connection.execute(OPENED, (by, thread_id, storable(whole.tool), digest))

    @patient
    async def list(self, *, thread_id: str | None = None, limit: int = 200) -> list[Entry]:
        """Lines of one thread or of all, the newest first."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Entry))
            return await (await cursor.execute(LIST, {"thread": thread_id, "limit": limit})).fetchall()
