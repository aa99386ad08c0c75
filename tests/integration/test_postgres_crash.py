"""A Postgres that crashes under a run that goes on: what was written last, and not yet on its disk, is gone."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.lifespan import opened
from app.runs import Runs
from checkpoints.saver import PostgresSaver
from evals.chaos.postgres import OwnPostgres, own_postgres
from services.settings import load
from tests.integration.conftest import READ, Script, calls, messages_of, say


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnPostgres]:
    with own_postgres() as own:
        own.execute("ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()")
        yield own


async def _crash(url: str) -> None:
    """As the kernel does when memory runs out: one session is killed, and Postgres starts all of them anew."""
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as victim,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as witness,
    ):
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            await witness.execute("SELECT pg_sleep(60)")


@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_no_message_is_missing_after_it(postgres: OwnPostgres, tmp_path: Path, script: Script, nth: int) -> None:
    class Crashing(PostgresSaver):
        written = 0

        async def aput_writes(self, *args: Any, **named: Any) -> None:
            await super().aput_writes(*args, **named)
            self.written += 1
            if self.written == nth:
                await _crash(postgres.url)

    home = tmp_path / "home"
    async with opened(load(database_url=postgres.url, home=home, openai_api_key=None)) as services:
        plain = Runs(opened=services, progress=lambda _node, _change: None)
        thread = f"t{nth}"
        await plain.start("begin", thread_id=thread, context=script(say("first")))
        saver = Crashing(services.pool, serde=services.saver.serde)
        crashing = Runs(opened=dataclasses.replace(services, saver=saver), progress=lambda _node, _change: None)

        report = await crashing.start("go", thread_id=thread, context=script(calls(READ), say("done")))

        kinds = [message.type for message in await messages_of(plain, thread)]
    assert report["outcome"] == "completed"
    assert kinds == ["human", "ai", "human", "ai", "tool", "ai"]
