"""One process at a time runs a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, LiteralString

from psycopg import AsyncConnection, OperationalError
from psycopg.errors import LockNotAvailable

from checkpoints.database import CONNECT_SECONDS
from checkpoints.outage import patient
from graph.errors import ThreadBusy

# Postgres drops the lock when the session ends, kill -9 included. The claim stays: it fences a run that has lost
# its lock with its connection and goes on (`checkpoints/claims.py`).
TAKE = """
WITH locked AS MATERIALIZED (SELECT pg_try_advisory_lock(hashtextextended(%(thread_id)s, 1)) AS ok)
INSERT INTO claims (thread_id) SELECT %(thread_id)s FROM locked WHERE ok
ON CONFLICT (thread_id) DO UPDATE SET token = DEFAULT, claimed_at = now()
RETURNING token
"""
RELEASE = "SELECT pg_advisory_unlock(hashtextextended(%(thread_id)s, 1))"
# A write in flight is waited for: it holds the claim's row. An effect of seconds in one transaction is not.
WAIT_FOR_WRITES = "SET lock_timeout = '3s'"


class ThreadLocks:
    """Session advisory locks, all on one connection of this process, each with a claim on its thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AsyncConnection[tuple[Any, ...]] | None = None
        self._turn = asyncio.Lock()
        self._held: set[str] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[ThreadLocks]:
        """Locks that are all released at the end. The connection is made when first needed."""
        locks = cls(url)
        try:
            yield locks
        finally:
            if locks._connection:
                await locks._connection.close()

    @asynccontextmanager
    async def hold(self, thread_id: str) -> AsyncIterator[int]:
        """Hold the thread, or fail at once; gives the claim that every write of the run is checked against.

        Raises:
            ThreadBusy: another process, or another task of this one, runs it.
        """
        if thread_id in self._held:
            raise ThreadBusy(thread_id)
        self._held.add(thread_id)
        try:
            token = await self._take(thread_id)
            if token is None:
                raise ThreadBusy(thread_id)
            try:
                yield token
            finally:  # shielded: a run cancelled as it ends would keep its lock as long as this process lives
                await asyncio.shield(self._release(thread_id))
        finally:
            self._held.discard(thread_id)

    @patient
    async def _take(self, thread_id: str) -> int | None:
        try:
            row = await self._ask(TAKE, thread_id)
        except LockNotAvailable:  # the lock is ours, but the run that lost it is in the middle of a write
            await self._release(thread_id)
            return None
        except asyncio.CancelledError:  # the same, given up while waiting for that write
            await self._release(thread_id)
            raise
        return int(row[0]) if row else None

    async def _release(self, thread_id: str) -> None:
        with suppress(OperationalError):  # no connection, no lock: what the run did stands
            await self._ask(RELEASE, thread_id)

    async def _ask(self, query: LiteralString, thread_id: str) -> tuple[Any, ...] | None:
        async with self._turn:
            if self._connection:
                try:
                    return await _first(self._connection, query, thread_id)
                except LockNotAvailable:
                    raise
                except OperationalError:  # cut off, and every lock on it with it: ask again on a new one
                    await self._connection.close()
            self._connection = await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_SECONDS
            )
            await self._connection.execute(WAIT_FOR_WRITES)
            return await _first(self._connection, query, thread_id)


async def _first(
    connection: AsyncConnection[tuple[Any, ...]], query: LiteralString, thread_id: str
) -> tuple[Any, ...] | None:
    return await (await connection.execute(query, {"thread_id": thread_id})).fetchone()
