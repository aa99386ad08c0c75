"""One real Postgres for the test run, one schema for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from checkpoints.database import Pool, open_pool
from checkpoints.migrate import migrate
from evals.chaos.postgres import own_postgres
from tests.forks import Forks, forking
from tests.quiet import turn


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """DATABASE_URL when it is set, else an embedded Postgres that ends with the test run."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    with own_postgres() as own:
        yield own.url


@pytest.fixture(autouse=True)
def taking_turns(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """With several workers, what is marked `alone` runs while none of them runs another test."""
    folder = tmp_path_factory.getbasetemp()
    alone = request.node.get_closest_marker("alone") is not None
    with turn(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder, alone=alone):
        yield


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """What runs Python programs quickly, each in a process of its own."""
    with forking(tmp_path_factory.mktemp("forks")) as ready:
        yield ready


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """A URL whose search_path is a schema of this test's own."""
    schema = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        yield make_conninfo(server_url, options=f"-csearch_path={schema}")
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """A pool on a migrated schema."""
    async with open_pool(database_url, max_size=8) as opened:
        await migrate(opened)
        yield opened
