"""Deleting and copying checkpoints without cutting a history that is stored by deltas.

A checkpoint of a `DeltaChannel` graph is rebuilt from its ancestors' writes, back to the last full
snapshot. Its metadata counts the super-steps since then (`counters_since_delta_snapshot`, a channel's
[updates, super-steps]), so the ancestors it needs are known without reading any value.
"""

from __future__ import annotations

from typing import LiteralString

from psycopg.types.json import Json

from checkpoints.approval_statements import CLOSE_DELETED, DELETED
from checkpoints.database import Connection

# What a run left behind, and what stays although it is older: checkpoints of other runs that are rebuilt
# from their ancestors.
RUN_CANDIDATES: LiteralString = """
CREATE TEMPORARY TABLE candidates ON COMMIT DROP AS
SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints WHERE metadata ->> 'run_id' = ANY(%s)
"""
RUN_ROOTS: LiteralString = """
CREATE TEMPORARY TABLE roots ON COMMIT DROP AS
SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints
WHERE thread_id IN (SELECT thread_id FROM candidates)
  AND metadata ? 'counters_since_delta_snapshot' AND coalesce(metadata ->> 'run_id', '') <> ALL(%s)
"""
THREAD_CANDIDATES: LiteralString = """
CREATE TEMPORARY TABLE candidates ON COMMIT DROP AS
SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints WHERE thread_id = ANY(%s)
"""
LATEST_ROOTS: LiteralString = """
CREATE TEMPORARY TABLE roots ON COMMIT DROP AS
SELECT DISTINCT ON (thread_id, checkpoint_ns) thread_id, checkpoint_ns, checkpoint_id FROM checkpoints
WHERE thread_id = ANY(%s) ORDER BY thread_id, checkpoint_ns, checkpoint_id DESC
"""

DELETE: tuple[LiteralString, ...] = (
    # The candidates, less every checkpoint a root is rebuilt from: walk up from the roots, one step for each
    # super-step since the oldest snapshot and one to the snapshot itself.
    """
    CREATE TEMPORARY TABLE doomed ON COMMIT DROP AS
    WITH RECURSIVE needed AS (
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
    SELECT thread_id, checkpoint_ns, checkpoint_id FROM candidates
    EXCEPT SELECT thread_id, checkpoint_ns, checkpoint_id FROM needed
    """,
    """
    DELETE FROM checkpoint_writes w USING doomed d
    WHERE w.thread_id = d.thread_id AND w.checkpoint_ns = d.checkpoint_ns AND w.checkpoint_id = d.checkpoint_id
    """,
    """
    DELETE FROM checkpoints c USING doomed d
    WHERE c.thread_id = d.thread_id AND c.checkpoint_ns = d.checkpoint_ns AND c.checkpoint_id = d.checkpoint_id
    """,
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

DELETE_THREADS: tuple[LiteralString, ...] = (
    # First: a run that is still going on writes nothing after this.
    "DELETE FROM claims WHERE thread_id = ANY(%s)",
    "DELETE FROM checkpoints WHERE thread_id = ANY(%s)",
    "DELETE FROM checkpoint_blobs WHERE thread_id = ANY(%s)",
    "DELETE FROM checkpoint_writes WHERE thread_id = ANY(%s)",
    "DELETE FROM reservations WHERE thread_id = ANY(%s)",
    "DELETE FROM results WHERE thread_id = ANY(%s)",
    "DELETE FROM runs WHERE thread_id = ANY(%s)",
)

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
    """
    INSERT INTO results (thread_id, handle, tool, size, type, blob, created_at)
    SELECT %(target)s, handle, tool, size, type, blob, created_at
    FROM results WHERE thread_id = %(source)s ORDER BY position
    ON CONFLICT DO NOTHING
    """,
    # Whose it is, and what for; what it spent is the original's.
    """
    INSERT INTO runs (thread_id, owner, requester, authors, graph, task, outcome)
    SELECT %(target)s, owner, requester, authors, graph, task, outcome FROM runs WHERE thread_id = %(source)s
    ON CONFLICT (thread_id) DO NOTHING
    """,
)


async def delete_runs(connection: Connection, run_ids: list[str]) -> None:
    """Delete all checkpoints of these runs that no surviving checkpoint is rebuilt from."""
    async with connection.transaction():
        await connection.execute(RUN_CANDIDATES, (run_ids,), prepare=False)
        await connection.execute(RUN_ROOTS, (run_ids,), prepare=False)
        await _delete(connection)


async def keep_latest(connection: Connection, thread_ids: list[str]) -> None:
    """Keep each namespace's newest checkpoint and what it is rebuilt from."""
    async with connection.transaction():
        await connection.execute(THREAD_CANDIDATES, (thread_ids,), prepare=False)
        await connection.execute(LATEST_ROOTS, (thread_ids,), prepare=False)
        await _delete(connection)


async def delete_threads(connection: Connection, thread_ids: list[str]) -> None:
    """Delete all checkpoints of these threads, and the claims on them; what they asked can be decided no more."""
    async with connection.transaction():
        await connection.execute(CLOSE_DELETED, (Json(DELETED), thread_ids))
        for query in DELETE_THREADS:
            await connection.execute(query, (thread_ids,))


async def copy_thread(connection: Connection, source: str, target: str) -> None:
    """Copy all rows of its checkpoints; ids stay, so the parent chain stays whole. It stays its owner's."""
    async with connection.transaction():
        for query in COPY:
            await connection.execute(query, {"source": source, "target": target})


async def _delete(connection: Connection) -> None:
    for query in DELETE:
        await connection.execute(query, prepare=False)
