"""One real Postgres for the test run, a database or schema for each test."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from checkpoints.database import Pool, open_pool
from checkpoints.migrate import migrate
from evals.chaos.postgres import own_postgres
from tests.forks import Forks, forking


def pytest_configure() -> None:
    """A suite that was started in the background ignores ctrl-C, and so would all it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


ROOM = 8 * 2**30


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """DATABASE_URL when it is set, else an embedded Postgres that ends with the test run."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    with own_postgres(_memory()) as own:
        yield own.url


def _memory() -> Path | None:
    """A folder in memory with room for several servers: a database of each test's own is hundreds of files."""
    memory = Path("/dev/shm")  # noqa: S108 - Linux' own place for it
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else None


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """What runs Python programs quickly, each in a process of its own."""
    with forking(tmp_path_factory.mktemp("forks")) as ready:
        yield ready


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a database that has Ballast's tables: a copy of it is made in a sixth of the time they take."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        asyncio.run(_prepare(make_conninfo(server_url, dbname=name)))
        yield name
        connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name)))


async def _prepare(url: str) -> None:
    async with open_pool(url, max_size=1) as pool:
        await migrate(pool)


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A database of this test's own, which has Ballast's tables and nothing in them."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
        yield make_conninfo(server_url, dbname=name)
        connection.execute(sql.SQL("DROP DATABASE {name} (FORCE)").format(**names))


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """A URL whose search_path is a schema of this test's own, with nothing in it."""
    schema = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        yield make_conninfo(server_url, options=f"-csearch_path={schema}")
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with open_pool(database_url, max_size=8) as opened:
        yield opened
