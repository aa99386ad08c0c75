"""Hearing that approvals were asked or decided, in whatever process: one listening connection, told on in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from checkpoints.database import CONNECT_SECONDS

LISTEN = "LISTEN ballast_approvals"  # what the triggers of migration 0013 notify
SCHEMA = (
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'approvals'::regclass"
)
CHECK_S = 30.0
"""How long a silent connection is trusted."""
PAUSE_S = 1.0
"""Between two tries to connect again."""

logger = logging.getLogger(__name__)


class Listener:
    """One who wants to know. Holds one flag, not a queue: however slow it is, it is told once for all it missed."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._changed.set()  # what was before it listened is news to it

    def tell(self) -> None:
        """Something changed."""
        self._changed.set()

    async def wait(self) -> None:
        """Until something has changed since the last wait."""
        await self._changed.wait()
        self._changed.clear()


class Changes:
    """Tells its listeners when approvals may have changed: also after each time the connection was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._listeners: set[Listener] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Changes]:
        """Listens until the end."""
        changes = cls(url)
        listening = asyncio.create_task(changes._keep_listening())
        try:
            yield changes
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    @contextmanager
    def listener(self) -> Iterator[Listener]:
        """A new listener, forgotten at the end."""
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                logger.warning("not told of changed approvals, connecting again: %s", " ".join(str(error).split()))
            await asyncio.sleep(PAUSE_S)

    async def _listen(self) -> None:
        connection: AsyncConnection[tuple[Any, ...]] = await AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_SECONDS
        )
        async with connection:
            await connection.execute(LISTEN)
            row = await (await connection.execute(SCHEMA)).fetchone()
            schema = row[0] if row else ""
            self._tell()
            while True:
                async for notice in connection.notifies(timeout=CHECK_S):
                    if notice.payload == schema:
                        self._tell()
                await connection.execute("SELECT 1")  # a connection whose other end is gone says nothing by itself

    def _tell(self) -> None:
        for listener in self._listeners:
            listener.tell()
