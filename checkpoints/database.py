"""The connection pool: opened once a process, with errors that say what to do."""

from __future__ import annotations

import logging
import math
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from graph.errors import DatabaseUnavailable


class Connection(AsyncConnection[dict[str, Any]]):
    """One of a pool."""

    seen: float = -math.inf
    """When it was last handed out, on the monotonic clock."""


Pool = AsyncConnectionPool[Connection]

CONNECT_SECONDS = 5
IDLE_SECONDS = 300.0
CHECK_AFTER_SECONDS = 30.0
"""A connection that was handed out this recently is not asked whether it lives: that costs a round trip."""


class LivePool(AsyncConnectionPool[Connection]):
    """Hands out no connection that Postgres has closed since it was last used.

    A restart closes all of them at once. What psycopg offers for it goes through them one at a time and
    waits 1, 2, 4, ... s in between.
    """

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109 - its base's signature
        """See `AsyncConnectionPool.getconn`. A live connection costs no round trip, a closed one is replaced."""
        while True:
            connection = await super().getconn(timeout)
            now = time.monotonic()
            seen, connection.seen = connection.seen, now
            if now - seen < CHECK_AFTER_SECONDS and not has_news(connection):
                return connection
            try:
                await self.check_connection(connection)
            except psycopg.OperationalError:
                await self.putconn(connection)  # finds it broken, and makes a new one
            except BaseException:
                await self.putconn(connection)
                raise
            else:
                return connection


def has_news(connection: Connection) -> bool:
    """Whether something arrived while nothing was asked: Postgres said goodbye, or (rarely) a notice."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@asynccontextmanager
async def open_pool(url: str, *, max_size: int = 16) -> AsyncIterator[Pool]:
    """A pool of autocommit connections whose rows are dicts.

    Raises:
        DatabaseUnavailable: no connection within CONNECT_SECONDS.
    """
    await _try_once(url)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    pool = LivePool(
        url,
        connection_class=Connection,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "prepare_threshold": 0,
            "connect_timeout": CONNECT_SECONDS,
        },
        min_size=1,
        max_size=max_size,
        max_idle=IDLE_SECONDS,
        timeout=30.0,
        open=False,
    )
    try:
        await pool.open(wait=True, timeout=CONNECT_SECONDS)
    except PoolTimeout as error:
        raise _unavailable(url, f"none within {CONNECT_SECONDS} s") from error
    try:
        yield pool
    finally:
        await pool.close()


async def _try_once(url: str) -> None:
    """A pool retries for long and tells little; one plain connection fails at once and says why."""
    try:
        connection = await AsyncConnection.connect(url, connect_timeout=CONNECT_SECONDS)
    except (psycopg.Error, UnicodeError) as error:
        raise _unavailable(url, str(error)) from None
    await connection.close()


def _unavailable(url: str, error: str) -> DatabaseUnavailable:
    where = _where(url)
    if where is None:
        return DatabaseUnavailable(
            "no connection to Postgres: unreadable DATABASE_URL (not shown, it may hold a password); write "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME, with @ : / ? # % in the password percent-encoded (%40 for @), "
            "or unset it to use the embedded one"
        )
    why = " ".join(error.split()).removeprefix("connection failed: ")
    return DatabaseUnavailable(
        f"no connection to Postgres at {where}: {why}; check DATABASE_URL, or unset it to use the embedded one"
    )


def _where(url: str) -> str | None:
    """Host, port and database of a URL; None where they, or an error about them, may show its password.

    An unescaped `@` or `/` in a password makes the rest of it part of what follows.
    """
    try:
        parts = conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeError):
        return None
    host, port, name = (str(parts.get(key, "")) for key in ("host", "port", "dbname"))
    if "@" in host + name or (port and not port.replace(",", "").isdecimal()):
        return None
    return f"{host or 'localhost'}:{port or 5432}/{name}"
