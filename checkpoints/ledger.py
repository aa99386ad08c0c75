"""The effect ledger: a side effect happens at most once for each intent.

reserved -> done      the tool returned; its result is given back whenever the intent comes again
         -> failed    the tool says it did nothing; the intent may be tried again
         -> unknown   cut off between call and record, or ended with an error that may hide an effect:
                      never tried again blindly
unknown  -> done      the tool's own check, a person, or the slow holder itself says that it happened
         -> failed    the tool's own check or a person says that it did not, or a person gave it up (`abandoned`)

Each step is a compare-and-set: of two processes one wins, and the other is told what the row says.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import uuid4

import psycopg
from psycopg.errors import IntegrityError, RaiseException
from psycopg.types.json import Json

from checkpoints.database import Connection, Pool
from checkpoints.ledger_statements import DOUBT, FIND, FINISH, LIST, RESERVE, SETTLE, STANDS_FOR
from checkpoints.outage import patient
from graph.errors import ThreadTaken

State = Literal["reserved", "done", "failed", "unknown"]

Database = Callable[[], AbstractAsyncContextManager[Connection]]
Ending = Literal["done", "failed", "unknown"]
Effect = Callable[[str, Database], Awaitable[tuple[Ending, str]]]
"""Given the key and the database: does it, returns (how it ended, its result). Raises nothing."""
Verify = Callable[[str], Awaitable[bool | str | None]]
"""Given the key: whether the effect of an attempt in doubt happened (a str is its result); None when it can't tell.
Raises nothing."""
REMEMBERED = 100
"""Earlier calls just like a new one that are looked at for a doubt."""

HAPPENED = "done, as a check after the attempt was cut off shows"
"""The result of an effect that happened, when no more is known of it."""


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
    claim: int | None = None
    """The run's claim on its thread (`checkpoints/claims.py`)."""

    @property
    def key(self) -> str:
        """Does not depend on ids a model made up, so replay and retry find it."""
        return self._key(self.occurrence)

    def keys_before(self) -> list[str]:
        """Of the last calls just like it."""
        return [self._key(earlier) for earlier in range(max(0, self.occurrence - REMEMBERED), self.occurrence)]

    def _key(self, occurrence: int) -> str:
        seed = f"{self.thread_id}\0{self.digest}\0{occurrence}"
        return hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the ledger knows of an intent after `run_once`."""

    state: State
    result: str
    reused: bool
    """Nothing ran: the result is an earlier one."""
    key: str
    holder: str
    """Whose attempt it was."""


class Ledger:
    """The ledger over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._in_flight: set[str] = set()
        """Holders of this process: their reservations are no wreckage."""
        self._transactions = asyncio.Semaphore(max(1, pool.max_size // 2))
        """Effects that hold a connection while they run leave half of them to the others."""

    async def run_once(
        self,
        effect: Effect,
        intent: Intent,
        *,
        transactional: bool,
        verify: Verify | None = None,
        key: str | None = None,
    ) -> Recorded:
        """Do the effect unless it was done; its result is stored before it is returned.

        A transactional effect commits with its row: after a crash neither is there. Any other is recorded
        before and after, so a crash in between leaves a row that is `unknown` when it is found. Then `verify`
        settles it: what happened is done, what did not is tried once more, else it stays as it is. An attempt
        that ends in doubt is verified at once, and not tried again here.

        `key` names the effect when it was asked about before; else it is the intent's own.
        """
        before = [] if key else intent.keys_before()
        key = key or intent.key
        while True:
            tried = await self._try(effect, intent, key, before, transactional=transactional)
            if tried.state != "unknown" or verify is None:
                return tried
            settled = await self._verified(verify, tried, intent.thread_id)
            if not (tried.reused and settled.state == "failed"):
                return settled

    @patient
    async def earlier(self, intent: Intent, *, key: str | None = None) -> Recorded | None:
        """What earlier attempts left of an effect that can't be tried now; None when there were none."""
        row = {"thread_id": intent.thread_id, "claim": intent.claim}
        async with self._pool.connection() as connection:
            found = await (await connection.execute(STANDS_FOR, {"key": key or intent.key})).fetchone()
            key = found["key"] if found else ""
            await connection.execute(DOUBT, {**row, "key": key, "in_flight": list(self._in_flight)})
            return await _row(connection, key, intent.thread_id)

    async def _try(
        self, effect: Effect, intent: Intent, key: str, before: list[str], *, transactional: bool
    ) -> Recorded:
        holder = uuid4().hex
        row: dict[str, Any] = {
            "key": key,
            "thread_id": intent.thread_id,
            "tool": intent.tool,
            "args": Json(storable(intent.args)),
            "holder": holder,
            "claim": intent.claim,
            "before": before,
        }
        self._in_flight.add(holder)
        try:
            if transactional:
                async with self._transactions:
                    return await self._committed(effect, row)
            row, earlier = await self._reserved(row)
            if earlier:
                return earlier
            ending, result = await effect(row["key"], self._pool.connection)
            return await self._finished(row, ending, result)
        finally:
            self._in_flight.discard(holder)

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for a tool that only reads."""
        return self._pool.connection()

    @patient
    async def of_thread(self, thread_id: str) -> list[dict[str, Any]]:
        """All effects of a thread, the oldest first; times are ISO 8601."""
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(LIST, (thread_id,))).fetchall()
        return [
            {name: value.isoformat() if name.endswith("_at") and value else value for name, value in row.items()}
            for row in rows
        ]

    async def _committed(self, effect: Effect, row: dict[str, Any]) -> Recorded:
        try:
            return await self._in_one_transaction(effect, row)
        except (IntegrityError, RaiseException) as error:  # a deferred constraint or trigger, at the commit
            refusal = f"{type(error).__name__}: {error}"

            async def refused(_key: str, _database: Database) -> tuple[Ending, str]:
                return "failed", refusal

            return await self._in_one_transaction(refused, row)

    @patient  # cut off before its commit nothing has happened; after it, the row says so
    async def _in_one_transaction(self, effect: Effect, row: dict[str, Any]) -> Recorded:
        async with self._pool.connection() as connection, connection.transaction():
            row, ours = await self._reserve(connection, row)
            if not ours:
                return await self._earlier(connection, row)

            @asynccontextmanager
            async def same() -> AsyncIterator[Connection]:
                async with connection.transaction():  # a savepoint: a failed write leaves the row usable
                    yield connection

            # All its writes are rolled back when it does not end well: nothing is in doubt.
            ending, result = "failed", ""
            async with connection.transaction() as attempt:
                ending, result = await effect(row["key"], same)
                if ending != "done" and connection.closed:  # its fault was ours, and nothing has happened
                    raise psycopg.OperationalError("the connection was lost during an effect in a transaction")
                if ending != "done":
                    raise psycopg.Rollback(attempt)
            return await self._finish(connection, row, "done" if ending == "done" else "failed", result)

    @patient
    async def _reserved(self, row: dict[str, Any]) -> tuple[dict[str, Any], Recorded | None]:
        """The row under the key it stands for; None when it is ours now, else what it says."""
        async with self._pool.connection() as connection:
            row, ours = await self._reserve(connection, row)
            return row, None if ours else await self._earlier(connection, row)

    @patient
    async def _finished(self, row: dict[str, Any], ending: Ending, result: str) -> Recorded:
        async with self._pool.connection() as connection:
            return await self._finish(connection, row, ending, result)

    async def _reserve(self, connection: Connection, row: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """The row under the key it stands for, and whether it is ours now."""
        found = await (await connection.execute(RESERVE, row)).fetchone()
        if found is None or not found["held"]:
            raise ThreadTaken(row["thread_id"])
        return {**row, "key": found["key"]}, found["reserved"]

    async def _finish(self, connection: Connection, row: dict[str, Any], ending: Ending, result: str) -> Recorded:
        given = {"key": row["key"], "holder": row["holder"], "ending": ending, "result": storable(result)}
        if await (await connection.execute(FINISH, given)).fetchone():
            return Recorded(state=ending, result=given["result"], reused=False, key=row["key"], holder=row["holder"])
        return await _found(connection, row["key"], row["thread_id"])

    async def _verified(self, verify: Verify, doubt: Recorded, thread_id: str) -> Recorded:
        """What the row says after the tool's own check."""
        key = doubt.key
        answer = await verify(key)
        if answer is None:
            return doubt
        ending: Literal["done", "failed"] = "failed" if answer is False else "done"
        result = answer if isinstance(answer, str) else doubt.result if answer is False else HAPPENED
        async with self._pool.connection() as connection:
            if await settle(connection, key, ending, result, thread_id=thread_id, holder=doubt.holder):
                return replace(doubt, state=ending, result=storable(result))
            return await _found(connection, key, thread_id)

    async def _earlier(self, connection: Connection, row: dict[str, Any]) -> Recorded:
        """What an earlier attempt left. One that was reserved and is not running here was cut off."""
        await connection.execute(DOUBT, {**row, "in_flight": list(self._in_flight)})
        return await _found(connection, row["key"], row["thread_id"])


async def _found(connection: Connection, key: str, thread_id: str) -> Recorded:
    row = await _row(connection, key, thread_id)
    # Rows are never deleted while a thread runs, and `PostgresApprovals.ask` lets no other's key come here.
    assert row is not None, f"effect {key} is of another thread than {thread_id}"  # noqa: S101
    return row


async def _row(connection: Connection, key: str, thread_id: str) -> Recorded | None:
    row = await (await connection.execute(FIND, (key, thread_id))).fetchone()
    if row is None:
        return None
    return Recorded(state=row["state"], result=row["result"] or "", reused=True, key=key, holder=row["holder"])


async def settle(  # noqa: PLR0913 - one keyword a column
    connection: Connection,
    key: str,
    ending: Literal["done", "failed"],
    result: str,
    *,
    thread_id: str,
    holder: str | None = None,
    abandoned: bool = False,
) -> bool:
    """End the doubt about an effect of a thread; False when there is none (any more), or about another holder."""
    given = {"key": key, "ending": ending, "result": storable(result), "holder": holder, "abandoned": abandoned}
    return await (await connection.execute(SETTLE, {**given, "thread_id": thread_id})).fetchone() is not None


async def state_of(connection: Connection, key: str, thread_id: str) -> State | None:
    """How an effect stands; None when the ledger knows none of this thread."""
    row = await _row(connection, key, thread_id)
    return row.state if row else None


def storable(value: Any) -> Any:
    """Postgres text holds neither NUL characters nor lone surrogates: they are shown, not stored."""
    if isinstance(value, str):
        return value.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {storable(key): storable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [storable(one) for one in value]
    return value
