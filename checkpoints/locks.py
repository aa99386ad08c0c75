"""One process at a time runs a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import LiteralString

from psycopg import AsyncConnection, OperationalError

from checkpoints.database import CONNECT_SECONDS
from graph.errors import ThreadBusy

# Postgres drops the lock when the session ends, kill -9 included.
TRY = "SELECT pg_try_advisory_lock(hashtextextended(%s, 1))"
RELEASE = "SELECT pg_advisory_unlock(hashtextextended(%s, 1))"


class ThreadLocks:
    """Session advisory locks, all on one connection of this process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AsyncConnection[tuple[bool]] | None = None
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
    async def hold(self, thread_id: str) -> AsyncIterator[None]:
        """Hold the thread, or fail at once.

        Raises:
            ThreadBusy: another process, or another task of this one, runs it.
        """
        if thread_id in self._held:
            raise ThreadBusy(thread_id)
        self._held.add(thread_id)
        try:
            if not await self._ask(TRY, thread_id):
                raise ThreadBusy(thread_id)
            try:
                yield
            finally:
                with suppress(OperationalError):  # no connection, no lock: what the run did stands
                    await self._ask(RELEASE, thread_id)
        finally:
            self._held.discard(thread_id)

    async def _ask(self, query: LiteralString, thread_id: str) -> bool:
        async with self._turn:
            if self._connection:
                try:
                    return await _first(self._connection, query, thread_id)
                except OperationalError:  # cut off, and every lock on it with it: ask again on a new one
                    await self._connection.close()
            self._connection = await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_SECONDS
            )
            return await _first(self._connection, query, thread_id)


async def _first(connection: AsyncConnection[tuple[bool]], query: LiteralString, thread_id: str) -> bool:
    row = await (await connection.execute(query, (thread_id,))).fetchone()
    return bool(row and row[0])
