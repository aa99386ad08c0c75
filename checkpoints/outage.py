"""A database that is away for a moment (a restart, a failover, a cut connection): what is safe is asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import psycopg
from psycopg.errors import DiskFull, ReadOnlySqlTransaction
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from graph.errors import DatabaseUnavailable

PATIENCE_S = 15.0
"""How long an operation is asked again. Waiting for a connection from the pool has its own bound."""

PASSING = ("08", "40001", "40P01", "53300", "57P01", "57P02", "57P03", "57P05")
"""SQLSTATEs, or their first characters: connection lost, serialization, deadlock, too many connections, shutdown."""

P = ParamSpec("P")
T = TypeVar("T")
GO_ON = "what is stored is safe: then go on with 'ballast resume THREAD'"


def passes(error: BaseException) -> bool:
    """Whether the same statement can succeed in a moment, on another connection."""
    if isinstance(error, (PoolTimeout, PoolClosed, TooManyRequests)):  # the pool has waited long enough
        return False
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(PASSING)


def patient(
    operation: Callable[P, Awaitable[T]], *, patience_s: float = PATIENCE_S
) -> Callable[P, Coroutine[Any, Any, T]]:
    """The operation, which must be safe to do twice, asked again while the database is away, with jittered pauses.

    Raises:
        DatabaseUnavailable: the database is full or takes no writes; no pause mends that.
        psycopg.OperationalError: it was away for longer than `patience_s`.
    """

    @wraps(operation)
    async def again(*args: P.args, **named: P.kwargs) -> T:
        try:
            try:
                return await operation(*args, **named)
            except psycopg.OperationalError as error:
                if not passes(error):
                    raise
            retrying = AsyncRetrying(
                retry=retry_if_exception(passes),
                stop=stop_after_delay(patience_s),
                wait=wait_random_exponential(multiplier=0.05, max=2),
                reraise=True,
            )
            return await retrying(operation, *args, **named)
        except DiskFull as error:
            raise DatabaseUnavailable(f"the database is full ({_said(error)}): make room, {GO_ON}") from error
        except ReadOnlySqlTransaction as error:
            raise DatabaseUnavailable(
                f"the database takes no writes ({_said(error)}): set DATABASE_URL to the primary, or end its "
                f"read-only mode; {GO_ON}"
            ) from error

    return again


def _said(error: psycopg.Error) -> str:
    return " ".join((error.diag.message_primary or str(error)).split())
