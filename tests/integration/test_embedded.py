"""The embedded Postgres: shared, started again, and clear about why it can't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from checkpoints import embedded
from evals.chaos.postgres import OwnPostgres, own_postgres
from graph.errors import DatabaseUnavailable


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnPostgres]:
    with own_postgres() as own:
        yield own


def _dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_starting_again_joins_the_one_that_runs(postgres: OwnPostgres) -> None:
    began = postgres.execute("SELECT pg_postmaster_start_time()")

    assert embedded.start(postgres.home) == postgres.url

    assert postgres.execute("SELECT pg_postmaster_start_time()") == began


def test_one_that_was_stopped_is_started_again_with_its_data(postgres: OwnPostgres) -> None:
    postgres.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        postgres.execute("SELECT 1")

    postgres.url = embedded.start(postgres.home)

    assert postgres.execute("SELECT seven FROM kept") == [(7,)]


def test_a_process_that_was_killed_does_not_keep_it_running(postgres: OwnPostgres) -> None:
    users = postgres.home / "postgres/.handle_pids.json"
    users.write_text(json.dumps([_dead_pid(), os.getpid(), os.getppid()]))

    embedded.start(postgres.home)

    assert json.loads(users.read_text()) == [os.getpid(), os.getppid()]


def test_a_torn_list_of_its_users_does_not_keep_it_from_starting(postgres: OwnPostgres) -> None:
    users = postgres.home / "postgres/.handle_pids.json"
    whole = users.read_text()
    users.write_text("[12, ")
    try:
        embedded.start(postgres.home)
        assert postgres.execute("SELECT 1") == [(1,)]
    finally:
        users.write_text(whole)


def test_a_broken_configuration_is_told_and_mended_in_the_same_process(postgres: OwnPostgres) -> None:
    configuration = postgres.home / "postgres/postgresql.conf"
    whole = configuration.read_text()
    postgres.stop()
    configuration.write_text(f"{whole}\nmax_connections = many\n")
    with pytest.raises(DatabaseUnavailable, match=r"FATAL: .*contains errors; see .*log, or set DATABASE_URL"):
        embedded.start(postgres.home)

    configuration.write_text(whole)
    embedded.start(postgres.home)

    assert postgres.execute("SELECT 1") == [(1,)]


def _file_in_its_place(data: Path) -> None:
    data.touch()


def _files_of_something_else(data: Path) -> None:
    data.mkdir()
    (data / "letter.txt").touch()


def _torn_version(data: Path) -> None:
    data.mkdir()
    (data / "PG_VERSION").touch()


def _older_version(data: Path) -> None:
    data.mkdir()
    (data / "PG_VERSION").write_text("9")


@pytest.mark.parametrize(
    ("left", "why"),
    [
        (_file_in_its_place, "File exists"),
        (_files_of_something_else, "initdb: error: directory .* exists but is not empty"),
        (_torn_version, "invalid literal"),
        (_older_version, "expecting version 18 but found version 9"),
    ],
)
def test_one_that_can_not_start_says_why_in_one_line(left: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    left(tmp_path / "postgres")

    with pytest.raises(DatabaseUnavailable, match=f"can't start in {tmp_path}/postgres: .*{why}") as refused:
        embedded.start(tmp_path)

    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith("or set DATABASE_URL")
