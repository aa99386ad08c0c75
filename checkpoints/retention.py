"""Deleting and copying checkpoints without cutting a history that is stored by deltas.

A checkpoint of a `DeltaChannel` graph is rebuilt from its ancestors' writes, back to the last full
snapshot. Its metadata counts the super-steps since then (`counters_since_delta_snapshot`, a channel's
[updates, super-steps]), so the ancestors it needs are known without reading any value.
"""

from __future__ import annotations

from typing import LiteralString

from checkpoints.database import Connection

# Every checkpoint a kept one is rebuilt from: walk up from `roots`, one more step for each super-step
# since the oldest snapshot. `roots` is (thread_id, checkpoint_ns, checkpoint_id).
NEEDED: LiteralString = """
RECURSIVE needed AS (
    SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id,
           (SELECT coalesce(max((counters.value ->> 1)::int + 1), 0)
            FROM jsonb_each(coalesce(c.metadata -> 'counters_since_delta_snapshot', '{}')) AS counters) AS steps
    FROM checkpoints c JOIN roots USING (thread_id, checkpoint_ns, checkpoint_id)
    UNION
    SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, n.steps - 1
    FROM needed n JOIN checkpoints c
      ON c.thread_id = n.thread_id AND c.checkpoint_ns = n.checkpoint_ns
     AND c.checkpoint_id = n.parent_checkpoint_id
    WHERE n.steps > 0
)
"""

PLACE: LiteralString = "thread_id, checkpoint_ns, checkpoint_id"

FIND_RUN_CHECKPOINTS: LiteralString = f"""
CREATE TEMPORARY TABLE doomed ON COMMIT DROP AS
WITH touched AS (SELECT DISTINCT thread_id FROM checkpoints WHERE metadata ->> 'run_id' = ANY(%s)),
roots AS (
    SELECT {PLACE} FROM checkpoints JOIN touched USING (thread_id)
    WHERE coalesce(metadata ->> 'run_id', '') <> ALL(%s) AND metadata ? 'counters_since_delta_snapshot'
)
"""  # noqa: S608 - constants only

DELETE_DOOMED: tuple[LiteralString, ...] = (
    "DELETE FROM checkpoint_writes w USING doomed d WHERE w.thread_id = d.thread_id "
    "AND w.checkpoint_ns = d.checkpoint_ns AND w.checkpoint_id = d.checkpoint_id",
    "DELETE FROM checkpoints c USING doomed d WHERE c.thread_id = d.thread_id "
    "AND c.checkpoint_ns = d.checkpoint_ns AND c.checkpoint_id = d.checkpoint_id",
    # Blobs no remaining checkpoint of the thread refers to.
    """
    DELETE FROM checkpoint_blobs b USING (SELECT DISTINCT thread_id FROM doomed) t
    WHERE b.thread_id = t.thread_id AND NOT EXISTS (
        SELECT 1 FROM checkpoints c
        WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
          AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version
    )
    """,
    """
    UPDATE checkpoints c SET parent_checkpoint_id = NULL
    FROM (SELECT DISTINCT thread_id FROM doomed) t
    WHERE c.thread_id = t.thread_id AND c.parent_checkpoint_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM checkpoints p
        WHERE p.thread_id = c.thread_id AND p.checkpoint_ns = c.checkpoint_ns
          AND p.checkpoint_id = c.parent_checkpoint_id
    )
    """,
)

TABLES: tuple[LiteralString, ...] = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")

COPY: tuple[LiteralString, ...] = (
    """
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
    SELECT %(target)s, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint,
           CASE WHEN metadata ? 'thread_id' THEN jsonb_set(metadata, '{thread_id}', to_jsonb(%(target)s::text))
                ELSE metadata END
    FROM checkpoints WHERE thread_id = %(source)s
    """,
    """
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(target)s, checkpoint_ns, channel, version, type, blob
    FROM checkpoint_blobs WHERE thread_id = %(source)s
    """,
    """
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path)
    SELECT %(target)s, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path
    FROM checkpoint_writes WHERE thread_id = %(source)s
    """,
)


async def delete_runs(connection: Connection, run_ids: list[str]) -> None:
    """Delete all checkpoints of these runs that no surviving checkpoint is rebuilt from."""
    query: LiteralString = (
        FIND_RUN_CHECKPOINTS.replace(")\n\n", ")\n").rstrip()
        + ", "
        + NEEDED.replace("RECURSIVE ", "", 1)
        + f"SELECT {PLACE} FROM checkpoints WHERE metadata ->> 'run_id' = ANY(%s) "
        f"EXCEPT SELECT {PLACE} FROM needed"
    ).replace("WITH touched", "WITH RECURSIVE touched", 1)
    async with connection.transaction():
        await connection.execute(query, (run_ids, run_ids, run_ids), prepare=False)
        await _delete_doomed(connection)


async def keep_latest(connection: Connection, thread_ids: list[str]) -> None:
    """Keep each namespace's newest checkpoint and what it is rebuilt from."""
    query: LiteralString = (
        "CREATE TEMPORARY TABLE doomed ON COMMIT DROP AS WITH RECURSIVE roots AS ("
        f"SELECT DISTINCT ON (thread_id, checkpoint_ns) {PLACE} FROM checkpoints "
        "WHERE thread_id = ANY(%s) ORDER BY thread_id, checkpoint_ns, checkpoint_id DESC), "
        + NEEDED.replace("RECURSIVE ", "", 1)
        + f"SELECT {PLACE} FROM checkpoints WHERE thread_id = ANY(%s) EXCEPT SELECT {PLACE} FROM needed"
    )
    async with connection.transaction():
        await connection.execute(query, (thread_ids, thread_ids), prepare=False)
        await _delete_doomed(connection)


async def delete_threads(connection: Connection, thread_ids: list[str]) -> None:
    """Delete all checkpoints of these threads."""
    async with connection.transaction():
        for table in TABLES:
            await connection.execute(f"DELETE FROM {table} WHERE thread_id = ANY(%s)", (thread_ids,))  # noqa: S608


async def copy_thread(connection: Connection, source: str, target: str) -> None:
    """Copy all three tables' rows; ids stay, so the parent chain stays whole."""
    async with connection.transaction():
        for query in COPY:
            await connection.execute(query, {"source": source, "target": target})


async def _delete_doomed(connection: Connection) -> None:
    for query in DELETE_DOOMED:
        await connection.execute(query, prepare=False)
