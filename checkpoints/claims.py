"""The fence: of two processes that believe they run a thread, only the one with the newest claim can write.

An advisory lock alone ends with its connection: after a restart of Postgres another process can take a thread
whose run is still going on. `ThreadLocks.hold` therefore takes a new token each time, and every write of that
run checks the token in its own statement:

    WITH {HELD}, written AS (INSERT INTO ... SELECT ... FROM held ...)
    SELECT EXISTS (SELECT 1 FROM held) AS held

`held` has one row when the run may write, none when another has taken the thread over: the statement then
writes nothing. It locks the claim's row until its transaction ends, so a takeover waits for a write in flight,
and what the new owner reads holds that write. Parameters: `thread_id`, and `claim`, None for a writer that
holds no thread (a copy, an import, a test of the saver), which is not checked.
"""

from __future__ import annotations

from typing import LiteralString

CLAIM_KEY = "__ballast_claim"
"""Where a run's token is in a config's `configurable`. LangGraph keeps keys that begin so out of metadata and
traces. Only `graph.durable` sets it: what a caller sends under this name is replaced."""

HELD: LiteralString = """newest AS MATERIALIZED (
    SELECT 1 FROM claims WHERE thread_id = %(thread_id)s AND token = %(claim)s::bigint FOR SHARE
), held AS MATERIALIZED (
    SELECT 1 WHERE %(claim)s::bigint IS NULL UNION ALL SELECT 1 FROM newest
)"""
