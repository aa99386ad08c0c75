"""LangGraph's Postgres saver, one pooled connection an operation, with what it leaves out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
from langgraph.checkpoint.serde.types import INTERRUPT, _DeltaSnapshot
from psycopg import AsyncCursor
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from checkpoints import retention
from checkpoints.database import Pool

# Waiting: the newest checkpoint has a question of a task that has not ended since.
LIST_THREADS = """
WITH listed AS (
    SELECT thread_id, coalesce(max(metadata ->> 'graph_id'), 'react') AS graph_id,
           count(*) AS checkpoints, max(checkpoint ->> 'ts') AS updated_at, max(checkpoint_id) AS newest
    FROM checkpoints WHERE checkpoint_ns = '' GROUP BY thread_id ORDER BY updated_at DESC LIMIT %(limit)s
)
SELECT thread_id, graph_id, checkpoints, updated_at, EXISTS (
    SELECT 1 FROM checkpoint_writes asked
    WHERE asked.thread_id = listed.thread_id AND asked.checkpoint_ns = '' AND asked.checkpoint_id = listed.newest
      AND asked.channel = %(interrupt)s AND NOT EXISTS (
        SELECT 1 FROM checkpoint_writes ended
        WHERE ended.thread_id = asked.thread_id AND ended.checkpoint_ns = '' AND ended.idx >= 0
          AND ended.checkpoint_id = asked.checkpoint_id AND ended.task_id = asked.task_id
    )
) AS waiting
FROM listed ORDER BY updated_at DESC
"""
# The values of a few named channels only; what is kept in the checkpoint's own JSON comes with it. `LIMIT 1`
# makes each a look-up by key: a join is planned for a thread of a few rows, and is quadratic in a long one.
LIST_STEPS = """
SELECT checkpoint_id, parent_checkpoint_id AS parent_id, metadata -> 'step' AS step, metadata ->> 'source' AS source,
       checkpoint ->> 'ts' AS created_at, checkpoint -> 'channel_versions' AS versions,
       checkpoint -> 'versions_seen' AS seen, checkpoint -> 'channel_values' AS inline,
       (
           SELECT array_agg(array[wanted.channel::bytea, stored.type::bytea, stored.blob])
           FROM unnest(%(channels)s::text[]) AS wanted (channel) CROSS JOIN LATERAL (
               SELECT b.type, b.blob FROM checkpoint_blobs b
               WHERE b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = wanted.channel
                 AND b.version = c.checkpoint -> 'channel_versions' ->> wanted.channel
               LIMIT 1
           ) AS stored
       ) AS blobs
FROM checkpoints c WHERE thread_id = %(thread_id)s AND checkpoint_ns = '' ORDER BY checkpoint_id DESC
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


@dataclass(frozen=True, kw_only=True)
class StoredStep:
    """A checkpoint without its state."""

    checkpoint_id: str
    parent_id: str | None
    step: int | None
    source: str | None
    """What wrote it: `input`, `loop`, `update` or `fork`."""
    created_at: str
    """ISO 8601."""
    versions: Mapping[str, str]
    """Of every channel."""
    seen: Mapping[str, Mapping[str, str]]
    """Versions of its triggers each node had seen when it last ran."""
    values: Mapping[str, Any]
    """Of those channels that were asked for and hold one."""


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

    async def list_threads(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Threads, newest first: {"thread_id", "graph_id", "checkpoints", "updated_at" (ISO 8601), "waiting"}."""
        async with self._cursor() as cursor:
            await cursor.execute(LIST_THREADS, {"limit": limit, "interrupt": INTERRUPT})
            return [dict(row) for row in await cursor.fetchall()]

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


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Rows as one list a column, for `unnest`."""
    return {name: [row[position] for row in rows] for position, name in enumerate(names)}
