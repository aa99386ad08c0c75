"""Writes of a thread that are on their way to Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Watch:
    """Implements `graph.records.Watch`."""

    def __init__(self) -> None:
        self._writes: list[asyncio.Future[None]] = []
        """Those that have not landed; one that failed stays."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A write, from its begin until Postgres has answered."""
        write = asyncio.get_running_loop().create_future()
        self._writes.append(write)
        try:
            yield
        except asyncio.CancelledError:
            write.cancel()
            raise
        except Exception as error:
            write.set_exception(error)
            write.exception()  # its own caller is told, whether anybody waits here or not
            raise
        write.set_result(None)
        self._writes.remove(write)

    async def landed(self) -> None:
        """See `graph.records.Watch.landed`. Cancelled, it leaves the writes alone."""
        await asyncio.shield(asyncio.gather(*self._writes))
