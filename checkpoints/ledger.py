"""The effect ledger: a side effect happens at most once for each intent.

reserved -> done      the tool returned; its result is given back whenever the intent comes again
         -> failed    the tool says it did nothing; the intent may be tried again
         -> unknown   cut off between call and record, or ended with an error that may hide an effect:
                      never tried again blindly
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from psycopg.types.json import Json

from checkpoints.database import Connection, Pool

State = Literal["reserved", "done", "failed", "unknown"]

# Inserts the row, or takes over one that failed; no row comes back when another state holds it.
RESERVE = """
INSERT INTO effects (key, thread_id, tool, args, state, holder)
VALUES (%(key)s, %(thread_id)s, %(tool)s, %(args)s, 'reserved', %(holder)s)
ON CONFLICT (key) DO UPDATE
SET state = 'reserved', attempts = effects.attempts + 1, holder = %(holder)s, finished_at = NULL
WHERE effects.state = 'failed'
RETURNING key
"""
FINISH = "UPDATE effects SET state = %s, result = %s, finished_at = now() WHERE key = %s AND holder = %s"
DOUBT = "UPDATE effects SET state = 'unknown' WHERE key = %s AND state = 'reserved' AND holder <> ALL(%s)"
FIND = "SELECT state, result FROM effects WHERE key = %s"
LIST = """
SELECT key, tool, args, state, result, attempts, created_at, finished_at
FROM effects WHERE thread_id = %s ORDER BY position
"""

Database = Callable[[], AbstractAsyncContextManager[Connection]]
Ending = Literal["done", "failed", "unknown"]
Effect = Callable[[str, Database], Awaitable[tuple[Ending, str]]]
"""Given the key and the database: does it, returns (how it ended, its result). Raises nothing."""


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One side effect that is wanted."""

    thread_id: str
    tool: str
    args: dict[str, Any]
    digest: str
    """Of tool and canonical arguments, see `ToolBox.intent`."""
    occurrence: int
    """How often the same call had run before on this branch."""

    @property
    def key(self) -> str:
        """Does not depend on ids a model made up, so replay and retry find it."""
        seed = f"{self.thread_id}\0{self.digest}\0{self.occurrence}"
        return hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the ledger knows of an intent after `run_once`."""

    state: State
    result: str
    reused: bool
    """Nothing ran: the result is an earlier one."""


class Ledger:
    """The ledger over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._in_flight: set[str] = set()
        """Holders of this process: their reservations are no wreckage."""

    async def run_once(self, effect: Effect, intent: Intent, *, transactional: bool) -> Recorded:
        """Do the effect unless it was done; its result is stored before it is returned.

        A transactional effect commits with its row: after a crash neither is there. Any other is recorded
        before and after, so a crash in between leaves a row that is `unknown` when it is found.
        """
        key, holder = intent.key, uuid4().hex
        row = {
            "key": key,
            "thread_id": intent.thread_id,
            "tool": intent.tool,
            "args": Json(storable(intent.args)),
            "holder": holder,
        }
        self._in_flight.add(holder)
        try:
            if transactional:
                return await self._in_one_transaction(effect, row)
            async with self._pool.connection() as connection:
                if not await self._reserve(connection, row):
                    return await self._earlier(connection, key)
            ending, result = await effect(key, self._pool.connection)
            async with self._pool.connection() as connection:
                return await self._finish(connection, row, ending, result)
        finally:
            self._in_flight.discard(holder)

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for a tool that only reads."""
        return self._pool.connection()

    async def of_thread(self, thread_id: str) -> list[dict[str, Any]]:
        """All effects of a thread, the oldest first; times are ISO 8601."""
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(LIST, (thread_id,))).fetchall()
        return [
            {name: value.isoformat() if name.endswith("_at") and value else value for name, value in row.items()}
            for row in rows
        ]

    async def _in_one_transaction(self, effect: Effect, row: dict[str, Any]) -> Recorded:
        async with self._pool.connection() as connection, connection.transaction():
            if not await self._reserve(connection, row):
                return await self._earlier(connection, row["key"])

            @asynccontextmanager
            async def same() -> AsyncIterator[Connection]:
                async with connection.transaction():  # a savepoint: a failed write leaves the row usable
                    yield connection

            ending, result = await effect(row["key"], same)
            # Its only effect is a write that was rolled back with the error: nothing is in doubt.
            return await self._finish(connection, row, "done" if ending == "done" else "failed", result)

    async def _reserve(self, connection: Connection, row: dict[str, Any]) -> bool:
        return await (await connection.execute(RESERVE, row)).fetchone() is not None

    async def _finish(self, connection: Connection, row: dict[str, Any], ending: Ending, result: str) -> Recorded:
        result = storable(result)
        await connection.execute(FINISH, (ending, result, row["key"], row["holder"]))
        return Recorded(state=ending, result=result, reused=False)

    async def _earlier(self, connection: Connection, key: str) -> Recorded:
        """What an earlier attempt left. One that was reserved and is not running here was cut off."""
        await connection.execute(DOUBT, (key, list(self._in_flight)))
        row = await (await connection.execute(FIND, (key,))).fetchone()
        assert row is not None  # noqa: S101 - rows are never deleted while a thread runs
        return Recorded(state=row["state"], result=row["result"] or "", reused=True)


def storable(value: Any) -> Any:
    """Postgres text holds neither NUL characters nor lone surrogates: they are shown, not stored."""
    if isinstance(value, str):
        return value.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {storable(key): storable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [storable(one) for one in value]
    return value
