from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

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


async def test_a_hold_that_is_given_up_while_a_write_is_waited_for_leaves_no_lock(database_url: str) -> None:
    async with (
        ThreadLocks.open(database_url) as one,
        ThreadLocks.open(database_url) as another,
        await psycopg.AsyncConnection.connect(database_url) as writing,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as watching,
    ):
        async with one.hold("t"):
            pass
        await writing.execute("SELECT 1 FROM claims WHERE thread_id = 't' FOR SHARE")
        waiting = asyncio.create_task(one.hold("t").__aenter__())
        await _until_blocked(watching)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await writing.rollback()

        async with another.hold("t"):
            pass


async def test_a_release_that_is_cancelled_while_it_waits_for_its_turn_still_releases(database_url: str) -> None:
    async with (
        ThreadLocks.open(database_url) as one,
        ThreadLocks.open(database_url) as another,
        await psycopg.AsyncConnection.connect(database_url) as writing,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as watching,
    ):
        async with one.hold("u"):
            pass
        await writing.execute("SELECT 1 FROM claims WHERE thread_id = 'u' FOR SHARE")
        held = one.hold("t")
        await held.__aenter__()
        waiting = asyncio.create_task(one.hold("u").__aenter__())
        await _until_blocked(watching)
        ending = asyncio.create_task(held.__aexit__(None, None, None))
        await asyncio.sleep(0)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        await writing.rollback()
        await waiting

        async with one.hold("v"), another.hold("t"):
            pass


async def _until_blocked(connection: psycopg.AsyncConnection[Any]) -> None:
    """Bounded polling of Postgres' own table."""
    for _ in range(2_000):
        row = await (await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")).fetchone()
        if row and row[0]:
            return
    pytest.fail("nobody waits for the row")
