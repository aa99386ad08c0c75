"""LangGraph's Postgres saver, one pooled connection an operation, with what it leaves out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from psycopg import AsyncCursor
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from checkpoints import retention
from checkpoints.database import Pool

LIST_THREADS = """
SELECT thread_id, coalesce(max(metadata ->> 'graph_id'), 'react') AS graph_id,
       count(*) AS checkpoints, max(checkpoint ->> 'ts') AS updated_at
FROM checkpoints WHERE checkpoint_ns = '' GROUP BY thread_id ORDER BY updated_at DESC LIMIT 200
"""

# One statement, so one round trip and one transaction, however many channels changed.
PUT: LiteralString = """
WITH new AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread_id)s, %(checkpoint_ns)s, b.channel, b.version, b.type, b.blob
    FROM unnest(%(channels)b::text[], %(versions)b::text[], %(types)b::text[], %(blobs)b::bytea[])
         AS b (channel, version, type, blob)
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
)
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
VALUES (%(thread_id)s, %(checkpoint_ns)s, %(checkpoint_id)s, %(parent_id)s, %(checkpoint)s, %(metadata)s)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata
"""
PUT_WRITES: LiteralString = """
INSERT INTO checkpoint_writes
    (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
SELECT %(thread_id)s, %(checkpoint_ns)s, %(checkpoint_id)s, %(task_id)s, %(task_path)s,
       w.idx, w.channel, w.type, w.blob
FROM unnest(%(indexes)b::int[], %(channels)b::text[], %(types)b::text[], %(blobs)b::bytea[])
     AS w (idx, channel, type, blob)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
"""
KEEP: LiteralString = "DO NOTHING"
# Interrupts, errors and answers have a fixed place: the newest counts.
REPLACE: LiteralString = "DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob"


class PostgresSaver(AsyncPostgresSaver):
    """Checkpoints over a pool.

    LangGraph's saver holds one lock over all database work of a process, keeps text values in the
    checkpoint's own JSON (where each checkpoint repeats them and encryption does not reach), and can
    neither delete runs nor copy threads.
    """

    def __init__(self, pool: Pool, *, serde: SerializerProtocol) -> None:
        super().__init__(pool, serde=serde)
        self._pool = pool

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
        """Store a checkpoint in one round trip. Only flags and numbers stay in its JSON."""
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
            "metadata": Jsonb(get_serializable_checkpoint_metadata(config, metadata)),
            **_columns(("channels", "versions", "types", "blobs"), dumped),
        }
        async with self._pool.connection() as connection:
            await connection.execute(PUT, row)
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
        """Store a task's writes in one round trip."""
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
            **_columns(("indexes", "channels", "types", "blobs"), dumped),
        }
        special = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        async with self._pool.connection() as connection:
            await connection.execute(PUT_WRITES + (REPLACE if special else KEEP), row)

    async def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        """The same as the library's, without a hop to a thread for every read."""
        place = {"thread_id": value["thread_id"], "checkpoint_ns": value["checkpoint_ns"]}
        parent = value["parent_checkpoint_id"]
        checkpoint = value["checkpoint"]
        values = {**(checkpoint.get("channel_values") or {}), **self._load_blobs(value["channel_values"])}
        return CheckpointTuple(
            {"configurable": {**place, "checkpoint_id": value["checkpoint_id"]}},
            cast("Checkpoint", {**checkpoint, "channel_values": values}),
            value["metadata"],
            {"configurable": {**place, "checkpoint_id": parent}} if parent else None,
            self._load_writes(value["pending_writes"]),
        )

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

    async def list_threads(self) -> list[dict[str, Any]]:
        """The newest 200 threads: {"thread_id", "graph_id", "checkpoints", "updated_at" (ISO 8601)}."""
        async with self._cursor() as cursor:
            await cursor.execute(LIST_THREADS)
            return [dict(row) for row in await cursor.fetchall()]


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Rows as one list a column, for `unnest`."""
    return {name: [row[position] for row in rows] for position, name in enumerate(names)}
