"""The connection pool: opened once a process, with errors that say what to do."""

from __future__ import annotations

import logging
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

Connection = AsyncConnection[dict[str, Any]]
Pool = AsyncConnectionPool[Connection]

CONNECT_SECONDS = 5
IDLE_SECONDS = 300.0
CHECK_AFTER_SECONDS = 30.0
"""A connection that was used this recently is handed out unchecked: a check costs a round trip."""


@asynccontextmanager
async def open_pool(url: str, *, max_size: int = 16, prepare: bool = True) -> AsyncIterator[Pool]:
    """A pool of autocommit connections whose rows are dicts.

    `prepare=False` is for pgbouncer in transaction mode, which can't keep prepared statements.

    Raises:
        DatabaseUnavailable: no connection within CONNECT_SECONDS.
    """
    await _try_once(url)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    checked: dict[int, float] = {}

    async def check(connection: Connection) -> None:
        now, key = time.monotonic(), id(connection)
        if now - checked.get(key, 0.0) > CHECK_AFTER_SECONDS or connection.broken:
            await AsyncConnectionPool.check_connection(connection)
            checked[key] = now

    pool: Pool = AsyncConnectionPool(
        url,
        connection_class=AsyncConnection[dict[str, Any]],
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "prepare_threshold": 0 if prepare else None,
            "connect_timeout": CONNECT_SECONDS,
        },
        min_size=1,
        max_size=max_size,
        max_idle=IDLE_SECONDS,
        timeout=30.0,
        check=check,
        open=False,
    )
    try:
        await pool.open(wait=True, timeout=CONNECT_SECONDS)
    except PoolTimeout as error:
        raise DatabaseUnavailable(f"no connection to Postgres at {_where(url)} within {CONNECT_SECONDS} s") from error
    try:
        yield pool
    finally:
        await pool.close()


async def _try_once(url: str) -> None:
    """A pool retries for long and tells little; one plain connection fails at once and says why."""
    try:
        connection = await AsyncConnection.connect(url, connect_timeout=CONNECT_SECONDS)
    except psycopg.Error as error:
        why = " ".join(str(error).split()).removeprefix("connection failed: ")
        raise DatabaseUnavailable(
            f"no connection to Postgres at {_where(url)}: {why}; "
            "check DATABASE_URL, or unset it to use the embedded one"
        ) from None
    await connection.close()


def _where(url: str) -> str:
    """Host, port and database of a URL; never its password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "an unreadable DATABASE_URL"
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
