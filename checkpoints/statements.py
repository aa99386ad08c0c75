"""How checkpoints and writes are stored: one statement each, so one round trip and one transaction.

Each gives one row, {"held"}: False when the thread was taken over and nothing was written.
"""

from __future__ import annotations

from typing import LiteralString

from checkpoints.claims import HELD

PUT: LiteralString = f"""
WITH {HELD}, new AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread_id)s, %(checkpoint_ns)s, b.channel, b.version, b.type, b.blob
    FROM held, unnest(%(channels)b::text[], %(versions)b::text[], %(types)b::text[], %(blobs)b::bytea[])
         AS b (channel, version, type, blob)
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
), put AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT %(thread_id)s, %(checkpoint_ns)s, %(checkpoint_id)s, %(parent_id)s, %(checkpoint)s, %(metadata)s FROM held
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata
)
SELECT EXISTS (SELECT 1 FROM held) AS held
"""  # noqa: S608 - HELD is a constant
_WRITES: LiteralString = f"""
WITH {HELD}, new AS (
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT %(thread_id)s, %(checkpoint_ns)s, %(checkpoint_id)s, %(task_id)s, %(task_path)s,
           w.idx, w.channel, w.type, w.blob
    FROM held, unnest(%(indexes)b::int[], %(channels)b::text[], %(types)b::text[], %(blobs)b::bytea[])
         AS w (idx, channel, type, blob)
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
"""  # noqa: S608 - HELD is a constant
_ENDING: LiteralString = ") SELECT EXISTS (SELECT 1 FROM held) AS held"
PUT_WRITES: LiteralString = f"{_WRITES} DO NOTHING {_ENDING}"
# Interrupts, errors and answers have a fixed place: the newest counts.
REPLACE_WRITES: LiteralString = (
    f"{_WRITES} DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob {_ENDING}"
)
