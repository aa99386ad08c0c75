"""How checkpoints and writes are stored: one statement each, so one round trip and one transaction.

Each gives one row, {"held", "whole"}: without the first the thread was taken over, without the second writes that a
checkpoint builds on are not there. Either way nothing was written.
"""

from __future__ import annotations

from typing import LiteralString

from checkpoints.claims import HELD

# History is rebuilt from the writes on the checkpoints before: one stored past a gap would read back short for good.
PUT: LiteralString = f"""
WITH {HELD}, whole AS MATERIALIZED (
    SELECT 1 FROM held WHERE NOT EXISTS (
        SELECT 1 FROM unnest(%(behind_tasks)b::text[], %(behind_indexes)b::int[]) AS b (task_id, idx)
        WHERE NOT EXISTS (
            SELECT 1 FROM checkpoint_writes w
            WHERE w.thread_id = %(thread_id)s AND w.checkpoint_ns = %(checkpoint_ns)s
              AND w.checkpoint_id = %(parent_id)s AND w.task_id = b.task_id AND w.idx = b.idx
        )
    )
), new AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread_id)s, %(checkpoint_ns)s, b.channel, b.version, b.type, b.blob
    FROM whole, unnest(%(channels)b::text[], %(versions)b::text[], %(types)b::text[], %(blobs)b::bytea[])
         AS b (channel, version, type, blob)
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
), put AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT %(thread_id)s, %(checkpoint_ns)s, %(checkpoint_id)s, %(parent_id)s, %(checkpoint)s, %(metadata)s FROM whole
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata
)
SELECT EXISTS (SELECT 1 FROM held) AS held, EXISTS (SELECT 1 FROM whole) AS whole
"""  # noqa: S608 - HELD is a constant
# What one task of a step wrote: the step's checkpoint follows it, waits for the disk, and takes this along. Only a
# crash of Postgres itself in between can lose it. A run that outlives that writes it again, for its checkpoint is not
# stored without; of one that does not, the task is run again, and finds its effects in the ledger.
PUT_WRITES: LiteralString = f"""
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), {HELD}, new AS (
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT %(thread_id)s, %(checkpoint_ns)s, %(checkpoint_id)s, %(task_id)s, %(task_path)s,
           w.idx, w.channel, w.type, w.blob
    FROM quick, held, unnest(%(indexes)b::int[], %(channels)b::text[], %(types)b::text[], %(blobs)b::bytea[])
         AS w (idx, channel, type, blob)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO NOTHING
)
SELECT EXISTS (SELECT 1 FROM held) AS held, true AS whole
"""  # noqa: S608 - HELD is a constant
# Interrupts, errors and answers have a fixed place, and the newest counts. Maybe no checkpoint follows: they are
# waited for.
REPLACE_WRITES: LiteralString = f"""
WITH {HELD}, new AS (
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT %(thread_id)s, %(checkpoint_ns)s, %(checkpoint_id)s, %(task_id)s, %(task_path)s,
           w.idx, w.channel, w.type, w.blob
    FROM held, unnest(%(indexes)b::int[], %(channels)b::text[], %(types)b::text[], %(blobs)b::bytea[])
         AS w (idx, channel, type, blob)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob
)
SELECT EXISTS (SELECT 1 FROM held) AS held, true AS whole
"""  # noqa: S608 - HELD is a constant
