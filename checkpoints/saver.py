"""LangGraph's Postgres saver, one pooled connection an operation, with what it leaves out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, nullcontext
from typing import Any, LiteralString, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import INTERRUPT, _DeltaSnapshot
from psycopg import AsyncCursor
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from checkpoints import retention, versions
from checkpoints.claims import CLAIM_KEY
from checkpoints.database import Pool
from checkpoints.listing import LIST_STEPS, LIST_THREADS, LIST_WRITES, StoredStep
from checkpoints.outage import patient
from checkpoints.statements import PUT, PUT_WRITES, REPLACE_WRITES
from checkpoints.watch import Watch
from graph.errors import ThreadTaken


class PostgresSaver(AsyncPostgresSaver):
    """Checkpoints over a pool.

    LangGraph's saver holds one lock over all database work of a process, keeps text values in the
    checkpoint's own JSON (where each checkpoint repeats them and encryption does not reach), and can
    neither delete runs nor copy threads.

    A run that holds its thread writes nothing once another process has taken that over. What is read has
    today's shape, whatever version wrote it. Reads and writes are asked again while Postgres is away.
    """

    def __init__(self, pool: Pool, *, serde: SerializerProtocol) -> None:
        super().__init__(pool, serde=serde)  # type: ignore[arg-type]  # a pool of a kind of connection is no pool of connections
        self._pool = pool
        self._watches: dict[str, Watch] = {}

    @contextmanager
    def watched(self, thread_id: str) -> Iterator[Watch]:
        """See `graph.records.Writes.watched`. A process runs a thread once at a time."""
        watch = self._watches[thread_id] = Watch()
        try:
            yield watch
        finally:
            del self._watches[thread_id]

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        """A cursor on a connection of its own; a pipeline is one round trip and one transaction."""
        async with self._pool.connection() as connection:
            if pipeline:
                async with (
                    connection.pipeline(),
                    connection.cursor(binary=True, row_factory=dict_row) as cursor,
                ):
                    yield cursor
            else:
                async with connection.cursor(binary=True, row_factory=dict_row) as cursor:
                    yield cursor

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint in one round trip. Only flags and numbers stay in its JSON.

        Raises:
            ThreadTaken: another process has taken over the thread; nothing was stored.
        """
        configurable = config["configurable"]
        thread_id, namespace = configurable["thread_id"], configurable["checkpoint_ns"]
        inline: dict[str, Any] = {}
        blobs: dict[str, Any] = {}
        for channel, value in checkpoint["channel_values"].items():
            if value is None or isinstance(value, (bool, int, float)):
                inline[channel] = value
            else:
                blobs[channel] = value
                if isinstance(value, _DeltaSnapshot):
                    inline[channel] = True  # how the library marks a snapshot
        dumped = [
            (channel, str(version), *self.serde.dumps_typed(blobs[channel]))
            for channel, version in new_versions.items()
            if channel in blobs
        ]
        row = {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint["id"],
            "parent_id": configurable.get("checkpoint_id"),
            "checkpoint": Jsonb({**checkpoint, "channel_values": inline}),
            "metadata": Jsonb(
                {
                    **get_serializable_checkpoint_metadata(config, metadata),
                    versions.VERSION_KEY: versions.STATE_VERSION,
                }
            ),
            "claim": configurable.get(CLAIM_KEY),
            **_columns(("channels", "versions", "types", "blobs"), dumped),
        }
        await self._write(PUT, row)
        return {
            "configurable": {
                "thread_id": thread_id,
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint["id"],
            }
        }

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store a task's writes in one round trip.

        Raises:
            ThreadTaken: another process has taken over the thread; nothing was stored.
        """
        configurable = config["configurable"]
        dumped = [
            (WRITES_IDX_MAP.get(channel, position), channel, *self.serde.dumps_typed(value))
            for position, (channel, value) in enumerate(writes)
        ]
        row = {
            "thread_id": configurable["thread_id"],
            "checkpoint_ns": configurable["checkpoint_ns"],
            "checkpoint_id": configurable["checkpoint_id"],
            "task_id": task_id,
            "task_path": task_path,
            "claim": configurable.get(CLAIM_KEY),
            **_columns(("indexes", "channels", "types", "blobs"), dumped),
        }
        special = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        watch = self._watches.get(configurable["thread_id"])
        with watch.writing() if watch else nullcontext():
            await self._write(REPLACE_WRITES if special else PUT_WRITES, row)

    @patient
    async def _write(self, statement: LiteralString, row: dict[str, Any]) -> None:
        async with self._pool.connection() as connection:
            told = await (await connection.execute(statement, row)).fetchone()
        if told and not told["held"]:
            raise ThreadTaken(row["thread_id"])

    @patient
    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `AsyncPostgresSaver.aget_tuple`.

        Raises:
            StateVersionUnsupported: the state's version is none this code reads.
        """
        return await super().aget_tuple(config)

    async def alist(self, config: RunnableConfig | None, **narrowed: Any) -> AsyncIterator[CheckpointTuple]:
        """See `AsyncPostgresSaver.alist`: all it asks of Postgres it asks before its first checkpoint.

        Raises:
            StateVersionUnsupported: the state's version is none this code reads.
        """
        listed = super().alist

        @patient
        async def begun() -> tuple[AsyncGenerator[CheckpointTuple], CheckpointTuple | None]:
            rest = cast("AsyncGenerator[CheckpointTuple]", listed(config, **narrowed))
            return rest, await anext(rest, None)

        rest, first = await begun()
        async with aclosing(rest):  # its connection goes back, also when the caller wants no more
            if first:
                yield first
            async for one in rest:
                yield one

    @patient
    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """See `AsyncPostgresSaver.aget_delta_channel_history`."""
        return await super().aget_delta_channel_history(config=config, channels=channels)

    async def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        """The same as the library's, in today's shape, without a hop to a thread for every read."""
        place = {"thread_id": value["thread_id"], "checkpoint_ns": value["checkpoint_ns"]}
        parent = value["parent_checkpoint_id"]
        checkpoint, metadata = value["checkpoint"], dict(value["metadata"])
        versions.check(metadata.pop(versions.VERSION_KEY, 1), value["thread_id"])
        values = {**(checkpoint.get("channel_values") or {}), **self._load_blobs(value["channel_values"])}
        return CheckpointTuple(
            {"configurable": {**place, "checkpoint_id": value["checkpoint_id"]}},
            cast("Checkpoint", {**checkpoint, "channel_values": versions.upgraded(values)}),
            cast("CheckpointMetadata", metadata),
            {"configurable": {**place, "checkpoint_id": parent}} if parent else None,
            [
                (task, channel, versions.upgraded({channel: written})[channel])
                for task, channel, written in self._load_writes(value["pending_writes"])
            ],
        )

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all of a thread; a run of it that goes on stores nothing more."""
        await self.aprune([thread_id], strategy="delete")

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the runs' checkpoints and writes, but none that a surviving checkpoint is rebuilt from."""
        async with self._pool.connection() as connection:
            await retention.delete_runs(connection, [str(one) for one in run_ids])

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread whole: every ancestor, so that delta channels can be rebuilt."""
        async with self._pool.connection() as connection:
            await retention.copy_thread(connection, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete what is old.

        `keep_latest` keeps each namespace's newest checkpoint and what it is rebuilt from; `delete` and the
        server's `delete_all` delete all.

        Raises:
            ValueError: another strategy.
        """
        ids = [str(one) for one in thread_ids]
        async with self._pool.connection() as connection:
            if strategy == "keep_latest":
                await retention.keep_latest(connection, ids)
            elif strategy in ("delete", "delete_all"):
                await retention.delete_threads(connection, ids)
            else:
                raise ValueError(f"unknown prune strategy {strategy!r}: use keep_latest or delete")

    @patient
    async def list_threads(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Threads, newest first.

        Each is {"thread_id", "graph_id", "checkpoints", "updated_at" (ISO 8601), "owner" (empty: nobody's), "waiting"}.
        """
        async with self._cursor() as cursor:
            await cursor.execute(LIST_THREADS, {"limit": limit, "interrupt": INTERRUPT})
            return [dict(row) for row in await cursor.fetchall()]

    @patient
    async def list_steps(self, thread_id: str, channels: Sequence[str]) -> list[StoredStep]:
        """A thread's checkpoints, newest first, with the values of these channels only: one statement, no state."""
        async with self._cursor() as cursor:
            await cursor.execute(LIST_STEPS, {"thread_id": thread_id, "channels": list(channels)})
            rows = await cursor.fetchall()
        return [
            StoredStep(
                checkpoint_id=row["checkpoint_id"],
                parent_id=row["parent_id"],
                step=row["step"],
                source=row["source"],
                created_at=row["created_at"],
                versions=row["versions"],
                seen=row["seen"],
                values={
                    **{name: value for name, value in (row["inline"] or {}).items() if name in channels},
                    **self._load_blobs(row["blobs"]),
                },
            )
            for row in rows
        ]

    @patient
    async def list_writes(
        self, thread_id: str, checkpoint_ids: Sequence[str], channels: Sequence[str]
    ) -> dict[str, list[tuple[str, Any]]]:
        """What the steps from these checkpoints wrote to these channels: (channel, value), by checkpoint."""
        places = {"thread_id": thread_id, "checkpoints": list(checkpoint_ids), "channels": list(channels)}
        async with self._cursor() as cursor:
            await cursor.execute(LIST_WRITES, places)
            rows = await cursor.fetchall()
        written: dict[str, list[tuple[str, Any]]] = {}
        for row in rows:
            value = {row["channel"]: self.serde.loads_typed((row["type"], row["blob"]))}
            written.setdefault(row["checkpoint_id"], []).extend(versions.upgraded(value).items())
        return written


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Rows as one list a column, for `unnest`."""
    return {name: [row[position] for row in rows] for position, name in enumerate(names)}
