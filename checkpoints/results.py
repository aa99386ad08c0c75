"""Tool results a thread can open again: packed, stored once, encrypted as checkpoints are, deleted with the thread."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol

from checkpoints.database import Pool
from checkpoints.ledger import storable
from checkpoints.outage import patient
from graph.results import Whole

KEEP = """
INSERT INTO results (thread_id, handle, tool, size, type, blob)
VALUES (%(thread_id)s, %(handle)s, %(tool)s, %(size)s, %(type)s, %(blob)s)
ON CONFLICT DO NOTHING
"""
OPENED = "SELECT tool, type, blob FROM results WHERE thread_id = %s AND handle = %s"
NEWEST = """
WITH listed AS (
    SELECT position, sum(size) OVER (ORDER BY position DESC) AS so_far
    FROM (SELECT position, size FROM results WHERE thread_id = %(thread_id)s ORDER BY position DESC LIMIT %(rows)s) AS r
)
SELECT tool, type, blob FROM results JOIN listed USING (position)
WHERE thread_id = %(thread_id)s AND so_far <= %(chars)s ORDER BY position DESC
"""

MOST_ROWS, MOST_CHARS = 2_000, 10_000_000
"""What is read of a thread at a time."""


class PostgresResults:
    """Implements `graph.results.Results`."""

    def __init__(self, pool: Pool, serde: SerializerProtocol) -> None:
        self._pool, self._serde = pool, serde

    @patient
    async def keep(self, thread_id: str, wholes: Sequence[Whole]) -> bool:
        """See `graph.results.Results.keep`."""
        if not wholes:
            return True
        rows = await asyncio.to_thread(lambda: [self._row(thread_id, whole) for whole in wholes])
        async with self._pool.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(KEEP, rows)
        return True

    def _row(self, thread_id: str, whole: Whole) -> dict[str, Any]:
        kind, blob = self._serde.dumps_typed(zlib.compress(storable(whole.text).encode(), 1))
        return {
            "thread_id": thread_id,
            "handle": whole.handle,
            "tool": storable(whole.tool),
            "size": len(whole.text),
            "type": kind,
            "blob": blob,
        }

    @patient
    async def opened(self, thread_id: str, handle: str) -> Whole | None:
        """See `graph.results.Results.opened`."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(OPENED, (thread_id, storable(handle)))).fetchone()
        return None if row is None else self._whole(row)

    @patient
    async def newest(self, thread_id: str) -> Sequence[Whole]:
        """See `graph.results.Results.newest`."""
        bounds = {"thread_id": thread_id, "rows": MOST_ROWS, "chars": MOST_CHARS}
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(NEWEST, bounds)).fetchall()
        return await asyncio.to_thread(lambda: [self._whole(row) for row in rows])

    def _whole(self, row: Mapping[str, Any]) -> Whole:
        packed: bytes = self._serde.loads_typed((row["type"], row["blob"]))
        return Whole(tool=row["tool"], text=zlib.decompress(packed).decode())
