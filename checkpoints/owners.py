"""Whose a thread is, as Postgres knows it: the server's own list of threads can be behind, or gone."""

from __future__ import annotations

from checkpoints.database import Pool
from checkpoints.outage import patient

OWNER_KEY = "owner"
"""Where the server's own record of a thread has it: a key of its metadata."""

OWNER = """
SELECT coalesce(
    (SELECT owner FROM runs WHERE thread_id = %(thread)s),
    (SELECT '' FROM checkpoints WHERE thread_id = %(thread)s LIMIT 1)
) AS owner
"""


class ThreadOwners:
    """Owners of the threads in a database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @patient
    async def of(self, thread_id: str) -> str | None:
        """The name of the thread's owner; empty when it is there and nobody's, None when there is no such thread."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(OWNER, {"thread": thread_id})).fetchone()
        return row["owner"] if row else None
