"""Tool results a thread can open again: packed, stored once, encrypted as checkpoints are, deleted with the thread."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from langgraph.checkpoint.serde.base import SerializerProtocol

from checkpoints.claims import HELD
from checkpoints.database import Pool
from checkpoints.ledger import storable
from checkpoints.outage import patient
from graph.errors import ThreadTaken
from graph.results import Whole

KEEP: LiteralString = f"""
WITH {HELD}, kept AS (
    INSERT INTO results (thread_id, handle, tool, size, type, blob)
    SELECT %(thread_id)s, handle, tool, size, type, blob FROM held, unnest(
        %(handles)s::text[], %(tools)s::text[], %(sizes)s::int[], %(types)s::text[], %(blobs)b::bytea[]
    ) WITH ORDINALITY AS w(handle, tool, size, type, blob, place) ORDER BY place
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT 1 FROM held) AS held
"""  # noqa: S608 - HELD is a constant
OPENED = "SELECT tool, type, blob FROM results WHERE thread_id = %s AND handle = %s"
LISTED = """
SELECT handle, tool, size AS chars, created_at FROM (
    SELECT * FROM results WHERE thread_id = %(thread_id)s ORDER BY position DESC LIMIT %(limit)s
) AS newest ORDER BY position
"""
NEWEST = """
WITH listed AS (
    SELECT handle, place, sum(size) OVER (ORDER BY place DESC) AS so_far
    FROM results JOIN unnest(%(handles)s::text[]) WITH ORDINALITY AS named(handle, place) USING (handle)
    WHERE thread_id = %(thread_id)s
)
SELECT tool, type, blob FROM results JOIN listed USING (handle)
WHERE thread_id = %(thread_id)s AND so_far <= %(chars)s ORDER BY place DESC
"""

AT_ONCE_CHARS = 100_000
"""Most that is packed on the event loop, in a ms or two; more in a thread."""

MOST_ROWS, MOST_CHARS = 2_000, 10_000_000
"""What is read of a thread at a time: as many results as `graph.facts.KEPT` lets a state name, and these characters."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A result, without its text."""

    handle: str
    tool: str
    chars: int
    created_at: datetime


class PostgresResults:
    """Implements `graph.results.Results`."""

    def __init__(self, pool: Pool, serde: SerializerProtocol) -> None:
        self._pool, self._serde = pool, serde

    @patient
    async def keep(self, thread_id: str, wholes: Sequence[Whole], *, claim: int | None) -> bool:
        """See `graph.results.Results.keep`."""
        if not wholes:
            return True
        long = sum(len(whole.text) for whole in wholes) > AT_ONCE_CHARS
        columns = await asyncio.to_thread(self._columns, wholes) if long else self._columns(wholes)
        async with self._pool.connection() as connection:
            row = await (await connection.execute(KEEP, {**columns, "thread_id": thread_id, "claim": claim})).fetchone()
        if row is None or not row["held"]:
            raise ThreadTaken(thread_id)
        return True

    def _columns(self, wholes: Sequence[Whole]) -> dict[str, list[Any]]:
        packed = [self._serde.dumps_typed(zlib.compress(storable(whole.text).encode(), 1)) for whole in wholes]
        return {
            "handles": [whole.handle for whole in wholes],
            "tools": [storable(whole.tool) for whole in wholes],
            "sizes": [len(whole.text) for whole in wholes],
            "types": [kind for kind, _ in packed],
            "blobs": [blob for _, blob in packed],
        }

    @patient
    async def opened(self, thread_id: str, handle: str) -> Whole | None:
        """See `graph.results.Results.opened`."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(OPENED, (thread_id, storable(handle)))).fetchone()
        return None if row is None else self._whole(row)

    @patient
    async def listed(self, thread_id: str, *, limit: int | None = None) -> Sequence[Listed]:
        """The thread's own for people to choose from, the newest last: all, or the newest `limit`."""
        bounds = {"thread_id": storable(thread_id), "limit": limit}
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(LISTED, bounds)).fetchall()
        return [Listed(**row) for row in rows]

    @patient
    async def newest(self, thread_id: str, handles: Sequence[str]) -> Sequence[Whole]:
        """See `graph.results.Results.newest`."""
        last = list(dict.fromkeys(storable(handle) for handle in reversed(handles)))[:MOST_ROWS]
        bounds = {"thread_id": thread_id, "handles": last[::-1], "chars": MOST_CHARS}
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(NEWEST, bounds)).fetchall()
        return await asyncio.to_thread(lambda: [self._whole(row) for row in rows])

    def _whole(self, row: Mapping[str, Any]) -> Whole:
        packed: bytes = self._serde.loads_typed((row["type"], row["blob"]))
        return Whole(tool=row["tool"], text=zlib.decompress(packed).decode())
