"""Being told of approvals that were asked or decided by whatever process, through restarts of Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from app.pages.events import Stream
from checkpoints.changes import Changes, Listener
from checkpoints.database import Pool, open_pool
from checkpoints.migrate import migrate
from evals.chaos.postgres import OwnPostgres, own_postgres

ASK = """
INSERT INTO approvals (id, thread_id, interrupt_id, call_id, tool, args, risk, reason)
VALUES (%s, 't', 'i', 'c', 'pay', '{}', 'high', '')
"""
DECIDE = "UPDATE approvals SET status = 'rejected', decided_by = 'ann', decided_at = now() WHERE id = %s"


class Counting(Listener):
    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    def tell(self) -> None:
        self.told += 1
        super().tell()


async def _told(listener: Listener) -> None:
    async with asyncio.timeout(20):
        await listener.wait()


async def _listening(changes: Changes) -> Counting:
    """A listener, once the connection listens: then it is told for the first time."""
    listener = Counting()
    changes._listeners.add(listener)
    await listener.wait()
    await _told(listener)
    listener.told = 0
    return listener


def _run(url: str, statement: str, *values: str) -> None:
    with psycopg.connect(url) as other_process:
        other_process.execute(statement.encode(), values)


async def test_whoever_listens_is_told_what_another_process_asked_and_decided(pool: Pool, database_url: str) -> None:
    async with Changes.open(database_url) as changes:
        listener = await _listening(changes)

        _run(database_url, ASK, "ap-1")
        await _told(listener)
        _run(database_url, DECIDE, "ap-1")
        await _told(listener)


async def test_nothing_is_told_of_another_schema_or_of_what_changes_no_status(pool: Pool, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
    other = psycopg.conninfo.make_conninfo(database_url, options="-csearch_path=elsewhere")
    async with open_pool(other, max_size=1) as one, Changes.open(database_url) as changes:
        await migrate(one)
        _run(database_url, ASK, "ap-1")
        listener = await _listening(changes)

        _run(other, ASK, "ap-1")
        _run(database_url, "UPDATE approvals SET applied_at = now(), status = status WHERE id = %s", "ap-1")
        _run(database_url, DECIDE, "ap-1")
        await _told(listener)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await listener.wait()

    assert listener.told == 1


async def test_a_slow_listener_is_told_once_for_all_it_missed(pool: Pool, database_url: str) -> None:
    async with Changes.open(database_url) as changes:
        quick = await _listening(changes)
        with changes.listener() as slow:
            await _told(slow)
            for at in range(20):
                _run(database_url, ASK, f"ap-{at}")
            while quick.told < 20:
                await _told(quick)

            await _told(slow)

            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await slow.wait()
        assert slow not in changes._listeners


async def test_a_client_that_takes_nothing_is_dropped_and_forgotten(database_url: str) -> None:
    changes = Changes(database_url)
    taken: list[Any] = []

    async def send(message: Any) -> None:
        taken.append(message)
        if message["type"] == "http.response.body":
            assert len(changes._listeners) == 1
            await asyncio.Event().wait()  # its buffers are full

    async def receive() -> Any:
        await asyncio.Event().wait()

    async with asyncio.timeout(20):
        await Stream(changes, send_s=0.05)({"type": "http", "method": "GET"}, receive, send)

    assert [message["type"] for message in taken] == ["http.response.start", "http.response.body"]
    assert b"event: changed" in taken[-1]["body"]
    assert changes._listeners == set()


@pytest.fixture
def own() -> Iterator[OwnPostgres]:
    with own_postgres() as started:
        yield started


async def test_after_a_restart_of_postgres_it_listens_again_and_tells_that_something_may_have_happened(
    own: OwnPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_pool(own.url, max_size=1) as pool:
        await migrate(pool)
    async with Changes.open(own.url) as changes:
        listener = await _listening(changes)
        await asyncio.to_thread(own.stop)
        await asyncio.to_thread(own.start)

        await _told(listener)
        _run(own.url, ASK, "ap-1")
        await _told(listener)

    assert "connecting again" in caplog.text
