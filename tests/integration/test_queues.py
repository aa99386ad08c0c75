"""Workers that are alive are taken for alive, whatever becomes of procrastinate's own heartbeat."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from procrastinate import App
from procrastinate.worker import Worker

from app import queues
from app.queues import Queue, take_out
from checkpoints.database import Pool

STALLED_S = 0.5
PUT_IN = """
SELECT procrastinate_defer_jobs_v1(ARRAY[
    ROW('q', 'slow', 0, NULL, NULL, '{}', NULL)::procrastinate_job_to_defer_v1
])
"""
STALLED = """
SELECT count(*) AS jobs FROM procrastinate_jobs LEFT JOIN procrastinate_workers w ON w.id = worker_id
WHERE status = 'doing' AND (w.id IS NULL OR last_heartbeat < now() - %s * interval '1 second')
"""


class Slow:
    """A queue whose one job takes as long as it is told to."""

    def __init__(self) -> None:
        self.begun, self.over, self.times = asyncio.Event(), asyncio.Event(), 0

    def add(self, app: App) -> None:
        @app.task(name="slow", queue="q")
        async def slow() -> None:
            self.times += 1
            self.begun.set()
            await self.over.wait()

    @property
    def queue(self) -> Queue:
        return Queue(name="q", add_tasks=self.add, at_once=2, poll_s=0.05)


async def _stalled(pool: Pool) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute(STALLED, (STALLED_S,))).fetchone()
    assert row is not None
    return int(row["jobs"])


async def _beats(pool: Pool, times: int) -> None:
    """Wait until a worker has shown that it lives this many times."""
    seen: set[Any] = set()
    async with asyncio.timeout(20):
        while len(seen) <= times:
            async with pool.connection() as connection:
                rows = await (await connection.execute("SELECT last_heartbeat FROM procrastinate_workers")).fetchall()
            seen |= {row["last_heartbeat"] for row in rows}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(queues, "STALLED_S", STALLED_S)


@pytest.mark.parametrize("when", ["its own heartbeat has ended", "it is asked to stop"])
async def test_a_job_is_not_done_again_while_its_worker_is_at_it(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async def ends(_worker: Worker) -> None:
        """As with the first connection that is cut under it."""

    if when == "its own heartbeat has ended":
        monkeypatch.setattr(Worker, "_update_heartbeat", ends)
    slow = Slow()
    async with pool.connection() as connection:
        await connection.execute(PUT_IN)
    one, other = (asyncio.create_task(take_out(pool, slow.queue)) for _ in range(2))
    await slow.begun.wait()
    if when == "it is asked to stop":
        one.cancel()
        other.cancel()

    await _beats(pool, 20)

    assert (slow.times, await _stalled(pool)) == (1, 0)
    slow.over.set()
    one.cancel()
    other.cancel()
    await asyncio.wait([one, other])


async def test_jobs_are_taken_out_again_after_a_part_of_the_worker_broke(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = queues._work, asyncio.Event()

    async def breaks_once(app: App, queue: Queue) -> None:
        if not broken.is_set():
            broken.set()
            raise RuntimeError("nobody foresaw this")
        await whole(app, queue)

    monkeypatch.setattr(queues, "_work", breaks_once)
    monkeypatch.setattr(queues, "AWAY_S", 0.0)
    slow = Slow()
    taking = asyncio.create_task(take_out(pool, slow.queue))
    await broken.wait()
    async with pool.connection() as connection:
        await connection.execute(PUT_IN)

    async with asyncio.timeout(20):
        await slow.begun.wait()

    slow.over.set()
    taking.cancel()
    await asyncio.wait([taking])
