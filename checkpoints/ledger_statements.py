"""The ledger's statements. Each is a compare-and-set: of two that race one wins."""

from __future__ import annotations

from typing import LiteralString

from checkpoints.claims import HELD

# The key a call stands for: that of an equal earlier one it was asked about as, unless it has a row that says more.
SAME: LiteralString = """own AS MATERIALIZED (
    SELECT 1 FROM effects WHERE key = %(key)s AND (state <> 'failed' OR abandoned)
), same AS MATERIALIZED (
    SELECT same_as AS key FROM effects_same WHERE key = %(key)s AND NOT EXISTS (SELECT 1 FROM own)
)"""
STANDS_FOR: LiteralString = f"WITH {SAME} SELECT coalesce((SELECT key FROM same), %(key)s) AS key"  # noqa: S608 - a constant
# Inserts the row, or takes over one that failed; another state keeps it. Nothing happens for a fenced run. A call of
# which an equal earlier one is in doubt or was given up stands for that one from now on: asking again does not get
# round the question. The lock makes sure that it is in doubt still. A call that has a row of its own (made side by
# side with the earlier one, then replayed) is told what that says.
RESERVE: LiteralString = f"""
WITH {HELD}, {SAME}, doubt AS MATERIALIZED (
    SELECT key FROM effects WHERE key = ANY(%(before)s) AND (state = 'unknown' OR abandoned)
    AND NOT EXISTS (SELECT 1 FROM own) AND NOT EXISTS (SELECT 1 FROM same) ORDER BY position LIMIT 1 FOR UPDATE
), redirected AS (
    INSERT INTO effects_same (key, same_as) SELECT %(key)s, doubt.key FROM doubt, held ON CONFLICT DO NOTHING
), followed AS (  -- those that stood for this call, which failed then
    UPDATE effects_same SET same_as = doubt.key FROM doubt, held WHERE same_as = %(key)s
), reopened AS (
    UPDATE effects SET state = 'unknown', abandoned = false FROM doubt, held WHERE effects.key = doubt.key
), wanted AS MATERIALIZED (
    SELECT coalesce((SELECT key FROM doubt), (SELECT key FROM same), %(key)s) AS key
), reserved AS (
    INSERT INTO effects (key, thread_id, tool, args, state, holder)
    SELECT wanted.key, %(thread_id)s, %(tool)s, %(args)s, 'reserved', %(holder)s FROM held, wanted
    WHERE NOT EXISTS (SELECT 1 FROM doubt)
    ON CONFLICT (key) DO UPDATE
    SET state = 'reserved', attempts = effects.attempts + 1, holder = %(holder)s, finished_at = NULL
    WHERE effects.state = 'failed' AND NOT effects.abandoned AND effects.thread_id = %(thread_id)s
    RETURNING key
)
SELECT EXISTS (SELECT 1 FROM held) AS held, (SELECT key FROM wanted) AS key,
       EXISTS (SELECT 1 FROM reserved) OR EXISTS (  -- asked again after the answer to the first time was lost
           SELECT 1 FROM effects JOIN wanted USING (key) WHERE holder = %(holder)s AND state = 'reserved'
       ) AS reserved
"""  # noqa: S608 - HELD and SAME are constants
# A holder that was slow, not dead, may still tell the truth of an attempt that was declared in doubt.
FINISH = """
UPDATE effects SET state = %(ending)s, result = %(result)s, finished_at = now()
WHERE key = %(key)s AND holder = %(holder)s
  AND (state = 'reserved' OR (state = 'unknown' AND %(ending)s <> 'unknown'))
RETURNING key
"""
DOUBT: LiteralString = f"""
WITH {HELD}
UPDATE effects SET state = 'unknown' FROM held
WHERE key = %(key)s AND thread_id = %(thread_id)s AND state = 'reserved' AND holder <> ALL(%(in_flight)s)
"""  # noqa: S608 - HELD is a constant
FIND = "SELECT state, result, holder FROM effects WHERE key = %s AND thread_id = %s"
# The holder is named by a tool's check: its answer is about that attempt and no later one.
SETTLE = """
UPDATE effects SET state = %(ending)s, result = %(result)s, abandoned = %(abandoned)s, finished_at = now()
WHERE key = %(key)s AND thread_id = %(thread_id)s AND state = 'unknown' AND holder = coalesce(%(holder)s, holder)
RETURNING key
"""
LIST = """
SELECT key, tool, args, state, result, attempts, created_at, finished_at
FROM effects WHERE thread_id = %s ORDER BY position
"""
