"""Whose a thread is, as Postgres knows it: the server's own list of threads can be behind, or gone."""

from __future__ import annotations

from checkpoints.database import Pool
from checkpoints.outage import patient

OWNER = "SELECT '' AS owner FROM checkpoints WHERE thread_id = %s LIMIT 1"


class ThreadOwners:
    """Owners of the threads in a database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @patient
    async def of(self, thread_id: str) -> str | None:
        """The name of the thread's owner; empty when it is there and nobody's, None when there is no such thread."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(OWNER, (thread_id,))).fetchone()
        return row["owner"] if row else None
