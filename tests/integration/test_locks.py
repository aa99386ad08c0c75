from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import psycopg
import pytest

from checkpoints.locks import ThreadLocks
from graph.errors import ThreadBusy

pytestmark = pytest.mark.usefixtures("pool")  # migrates: a claim is a row

HOLDER = """
import asyncio, sys
from checkpoints.locks import ThreadLocks
async def main():
    async with ThreadLocks.open(sys.argv[1]) as locks, locks.hold("t"):
        print("held", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_a_thread_is_held_by_one_process_until_that_is_killed(database_url: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, database_url], stdout=subprocess.PIPE)  # noqa: ASYNC220 - it starts at once
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        async with ThreadLocks.open(database_url) as locks:
            with pytest.raises(ThreadBusy, match="thread t is being run by another process"):
                async with locks.hold("t"):
                    pass
            async with locks.hold("another thread"):
                pass
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            await _until_released(database_url)
            async with locks.hold("t"):
                pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close() if holder.stdout else None


async def _until_released(url: str) -> None:
    """Postgres notices a dead client when it reads its socket: bounded polling of its own table."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for _ in range(2_000):
            row = await (
                await connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            ).fetchone()
            if row == (0,):
                return
    pytest.fail("the lock of a killed process was never released")


async def test_two_tasks_of_one_process_do_not_share_a_thread(database_url: str) -> None:
    async with ThreadLocks.open(database_url) as locks, locks.hold("t"):
        with pytest.raises(ThreadBusy):
            async with locks.hold("t"):
                pass


async def test_locks_come_back_after_their_connection_was_cut(database_url: str) -> None:
    async with ThreadLocks.open(database_url) as locks:
        async with locks.hold("t"):
            pass
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as killer:
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s",
                (locks._connection.info.backend_pid if locks._connection else 0,),
            )
        async with locks.hold("t"):
            pass


async def test_many_threads_are_held_side_by_side(database_url: str) -> None:
    async with ThreadLocks.open(database_url) as locks:

        async def hold(number: int) -> int:
            async with locks.hold(f"thread {number}"):
                return os.getpid()

        assert len(await asyncio.gather(*map(hold, range(30)))) == 30
