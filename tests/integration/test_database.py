"""The pool on a Postgres that is away, says no, restarts or cuts every connection."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from checkpoints.database import Pool, open_pool
from evals.chaos.postgres import OwnPostgres, own_postgres
from graph.errors import DatabaseUnavailable


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnPostgres]:
    with own_postgres() as own:
        yield own


async def _answers(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("SELECT 1")


async def _fill(pool: Pool) -> None:
    """Until the pool holds as many connections as it may: each of them is in use before any is given back."""
    everyone = asyncio.Barrier(pool.max_size)

    async def use() -> None:
        async with pool.connection():
            await everyone.wait()

    await asyncio.gather(*(use() for _ in range(pool.max_size)))


async def test_no_operation_fails_after_every_connection_was_cut(postgres: OwnPostgres) -> None:
    async with open_pool(postgres.url, max_size=8) as pool:
        await _fill(pool)
        await asyncio.to_thread(postgres.cut_all)

        async with asyncio.timeout(5):  # psycopg's own way takes 1 + 2 + 4 + ... s
            for _ in range(16):
                await _answers(pool)


async def test_no_operation_fails_after_a_restart(postgres: OwnPostgres) -> None:
    async with open_pool(postgres.url, max_size=8) as pool:
        await _fill(pool)
        await asyncio.to_thread(postgres.restart)

        await asyncio.gather(*(_answers(pool) for _ in range(16)))


async def test_an_operation_waits_for_a_postgres_that_comes_back(postgres: OwnPostgres) -> None:
    async with open_pool(postgres.url, max_size=4) as pool:
        await _fill(pool)
        await asyncio.to_thread(postgres.stop)
        waiting = [asyncio.create_task(_answers(pool)) for _ in range(8)]
        await asyncio.to_thread(postgres.start)

        await asyncio.gather(*waiting)


async def test_a_live_connection_is_handed_out_without_a_round_trip(database_url: str) -> None:
    with tempfile.TemporaryFile("w+") as wire:
        async with open_pool(database_url, max_size=1) as pool:
            await _answers(pool)
            async with pool.connection() as connection:
                connection.pgconn.trace(wire.fileno())
            for _ in range(5):
                await _answers(pool)
            async with pool.connection() as connection:
                connection.pgconn.untrace()
        wire.seek(0)
        sent = [line.split("\t") for line in wire]

    assert [fields[3].strip() for fields in sent if fields[1] == "F"].count("Sync") == 5


async def test_a_notice_does_not_cost_the_connection(database_url: str) -> None:
    async with open_pool(database_url, max_size=1) as pool:
        async with pool.connection() as connection:
            await connection.execute("LISTEN news")
            before = connection.pgconn.backend_pid
        async with await AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute("NOTIFY news")

        async with pool.connection() as connection:
            assert connection.pgconn.backend_pid == before
            await connection.execute("SELECT 1")


async def test_a_caller_who_gives_up_in_the_check_loses_no_connection(postgres: OwnPostgres) -> None:
    """A stopped backend answers nothing, so the caller is cancelled while it waits for the answer."""
    async with open_pool(postgres.url, max_size=1) as pool:
        [connection] = pool._pool
        backend = connection.pgconn.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            caller = asyncio.create_task(_answers(pool))
            async with asyncio.timeout(10):
                while connection.pgconn.transaction_status != TransactionStatus.ACTIVE:  # noqa: ASYNC110 - none tells
                    await asyncio.sleep(0)
            caller.cancel()
            await asyncio.sleep(0)
        finally:
            os.kill(backend, signal.SIGCONT)
        with pytest.raises(asyncio.CancelledError):
            await caller

        await asyncio.wait_for(_answers(pool), 10)


@asynccontextmanager
async def _once(postgres: OwnPostgres) -> AsyncIterator[str]:
    """The URL of a place where Postgres answers the first connection and no other."""
    socket_path = postgres.home / "postgres/.s.PGSQL.5432"
    taken: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        door.close()
        up, down = await asyncio.open_unix_connection(str(socket_path))
        taken.update({asyncio.create_task(copy(reader, down)), asyncio.create_task(copy(up, writer))})

    door = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = door.sockets[0].getsockname()[1]
    yield make_conninfo("", user="postgres", dbname="postgres", host="127.0.0.1", port=port)
    await asyncio.gather(*taken)


async def test_a_postgres_that_goes_away_while_the_pool_opens_is_told_in_time(postgres: OwnPostgres) -> None:
    async with _once(postgres) as url:
        with pytest.raises(
            DatabaseUnavailable, match=r"127\.0\.0\.1:\d+/postgres: none within 5 s; check DATABASE_URL"
        ):
            async with open_pool(url):
                pass


@pytest.mark.parametrize(
    "url",
    [
        "not a url",
        "S3cr3tW0rd",
        "postgresql//me:S3cr3tW0rd@db/x",
        "mysql://me:S3cr3tW0rd@db/x",
        "postgresql://me:S3cr3tW0rd",
        "postgresql://me:an@S3cr3tW0rd@127.0.0.1:1/x",
        "postgresql://me:an/S3cr3tW0rd@127.0.0.1:1/x",
        "postgresql://me:an%zzS3cr3tW0rd@127.0.0.1:1/x",
        "postgresql://me:S3cr3tW0rd@[::1:1/x",
        "host=127.0.0.1 port=1 password=an S3cr3tW0rd",
        os.fsdecode(b"postgresql://me:S3cr3tW0rd\xff@127.0.0.1:1/x"),
    ],
)
async def test_an_unreadable_url_is_explained_and_nothing_of_it_shown(url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"unreadable DATABASE_URL.*postgresql://USER:PASSWORD@") as caught:
        async with open_pool(url):
            pass

    assert "S3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("127.0.0.1:1/x", r"127\.0\.0\.1:1/x: .*refused.*; check DATABASE_URL"),
        ("no-such-host.invalid/x", r"no-such-host\.invalid:5432/x: "),
        ("a..b/x", r"a\.\.b:5432/x: "),
        (f"{'a' * 70}.invalid/x", r"aaa\.invalid:5432/x: "),
        ("127.0.0.1:1,127.0.0.1:2/x", r"127\.0\.0\.1,127\.0\.0\.1:1,2/x: "),
        ("127.0.0.1:99999/x", "99999"),
        ("%2Fno%2Fsuch%2Fsocket/x", "/no/such/socket:5432/x: "),
        ("127.0.0.1:1/x?sslmode=perhaps", "perhaps"),
    ],
)
async def test_no_postgres_is_one_line_without_the_password(place: str, said: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=said) as caught:
        async with open_pool(f"postgresql://me:S3cr3tW0rd@{place}"):
            pass

    assert "S3cr3t" not in str(caught.value)
    assert "\n" not in str(caught.value)
