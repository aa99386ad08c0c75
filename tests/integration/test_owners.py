from __future__ import annotations

from checkpoints.database import Pool
from checkpoints.owners import ThreadOwners


async def test_a_thread_is_its_senders_nobodys_or_not_there(pool: Pool) -> None:
    owners = ThreadOwners(pool)
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO runs (thread_id, owner, requester, graph, task) VALUES ('begun', 'ann', 'bob', 'react', 'go')"
        )
        await connection.execute(
            "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint, metadata) "
            "SELECT thread_id, '1', '{}', '{}' FROM unnest(ARRAY['begun', 'old']) AS thread_id"
        )

    assert [await owners.of(thread) for thread in ("begun", "old", "none")] == ["ann", "", None]
