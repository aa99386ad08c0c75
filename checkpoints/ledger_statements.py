"""The ledger's statements. Each is a compare-and-set: of two that race one wins."""

from __future__ import annotations

from typing import LiteralString

from checkpoints.claims import HELD

# Inserts the row, or takes over one that failed; another state keeps it. Nothing happens for a fenced run, nor while
# an earlier one of the very same call is in doubt or was given up: asking again does not get round the question. One
# that has a row of its own (made side by side with it, then replayed) is told what that says.
RESERVE: LiteralString = f"""
WITH {HELD}, doubt AS MATERIALIZED (
    SELECT key FROM effects WHERE key = ANY(%(before)s) AND (state = 'unknown' OR abandoned)
    AND NOT EXISTS (SELECT 1 FROM effects WHERE key = %(key)s AND (state <> 'failed' OR abandoned)) LIMIT 1
), reserved AS (
    INSERT INTO effects (key, thread_id, tool, args, state, holder)
    SELECT %(key)s, %(thread_id)s, %(tool)s, %(args)s, 'reserved', %(holder)s FROM held
    WHERE NOT EXISTS (SELECT 1 FROM doubt)
    ON CONFLICT (key) DO UPDATE
    SET state = 'reserved', attempts = effects.attempts + 1, holder = %(holder)s, finished_at = NULL
    WHERE effects.state = 'failed' AND NOT effects.abandoned
    RETURNING key
)
SELECT EXISTS (SELECT 1 FROM held) AS held, (SELECT key FROM doubt) AS doubt,
       EXISTS (SELECT 1 FROM reserved) OR EXISTS (  -- asked again after the answer to the first time was lost
           SELECT 1 FROM effects WHERE key = %(key)s AND holder = %(holder)s AND state = 'reserved'
       ) AS reserved
"""  # noqa: S608 - HELD is a constant
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
WHERE key = %(key)s AND state = 'reserved' AND holder <> ALL(%(in_flight)s)
"""  # noqa: S608 - HELD is a constant
REOPEN: LiteralString = f"""
WITH {HELD} UPDATE effects SET state = 'unknown', abandoned = false FROM held WHERE key = %(key)s AND abandoned
"""  # noqa: S608 - as above
FIND = "SELECT state, result, holder FROM effects WHERE key = %s"
# The holder is named by a tool's check: its answer is about that attempt and no later one.
SETTLE = """
UPDATE effects SET state = %(ending)s, result = %(result)s, abandoned = %(abandoned)s, finished_at = now()
WHERE key = %(key)s AND state = 'unknown' AND holder = coalesce(%(holder)s, holder)
RETURNING key
"""
LIST = """
SELECT key, tool, args, state, result, attempts, created_at, finished_at
FROM effects WHERE thread_id = %s ORDER BY position
"""
