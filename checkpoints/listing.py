"""What is listed of threads and their checkpoints without loading a state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Waiting: the newest checkpoint has a question of a task that has not ended since.
LIST_THREADS = """
WITH listed AS (
    SELECT thread_id, max(metadata ->> 'graph_id') AS graph_id,
           count(*) AS checkpoints, max(checkpoint ->> 'ts') AS updated_at, max(checkpoint_id) AS newest
    FROM checkpoints WHERE checkpoint_ns = '' GROUP BY thread_id ORDER BY updated_at DESC LIMIT %(limit)s
)
SELECT thread_id, checkpoints, updated_at,
       coalesce((SELECT graph FROM runs WHERE runs.thread_id = listed.thread_id), graph_id, 'react') AS graph_id,
       coalesce((SELECT owner FROM runs WHERE runs.thread_id = listed.thread_id), '') AS owner, EXISTS (
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

LIST_WRITES = """
SELECT checkpoint_id, task_id, channel, type, blob FROM checkpoint_writes
WHERE thread_id = %(thread_id)s AND checkpoint_ns = '' AND checkpoint_id = ANY(%(checkpoints)s)
  AND channel = ANY(%(channels)s) AND idx >= 0
ORDER BY checkpoint_id, task_path, task_id, idx
"""


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
