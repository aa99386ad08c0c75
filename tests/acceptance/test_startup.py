"""What a process meets when it starts: others that start too, and databases it can't use."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from checkpoints.migrate import LOCK, scripts
from evals.chaos.postgres import OwnPostgres, own_postgres
from tests.forks import Forks

ROOT = Path(__file__).parents[2]
RIGHT, WRONG = "Vn4kQz8Lw2", "Hd7pXs3Ty9"
ROLE = "ballast_locked"


DOCTOR = ("-m", "app.cli", "doctor")


def _environment(database_url: str | None, home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI", "BALLAST", "LANGSMITH"))}
    return kept | {"BALLAST_HOME": str(home), "DATABASE_URL": database_url or ""}


def _started(database_url: str | None, home: Path) -> subprocess.Popen[str]:
    """One of several that start at once."""
    return subprocess.Popen(
        [sys.executable, *DOCTOR],
        cwd=ROOT,
        env=_environment(database_url, home),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _outcomes(*processes: subprocess.Popen[str]) -> list[tuple[int, str, str]]:
    """(exit code, stdout, stderr) of each, when all have ended."""
    said = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, said, strict=True)]


def _doctor(forks: Forks, database_url: str | None, home: Path) -> subprocess.CompletedProcess[str]:
    return forks.run(*DOCTOR, env=_environment(database_url, home))


def _refused(forks: Forks, database_url: str | None, home: Path, *words: str) -> str:
    """The whole of what a refused process says: one line, which it ends on with exit code 2."""
    ended = _doctor(forks, database_url, home)
    assert (ended.returncode, ended.stdout) == (2, "")
    err = ended.stderr
    assert err.startswith("ballast: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    return err


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnPostgres]:
    """A Postgres that asks one role for its password."""
    with own_postgres() as own:
        own.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{RIGHT}'")
        own.ask_for_password(ROLE)
        yield own


@pytest.fixture
def home() -> Iterator[Path]:
    """Where an embedded Postgres may start; see `own_postgres` for why not in pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="ballast-") as folder:
        yield Path(folder)


WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def _all_wait(connection: psycopg.Connection[Any], processes: list[subprocess.Popen[str]]) -> bool:
    """Wait until each of them waits for the lock that `connection` holds, so that they all go on at once."""
    for _ in range(600):
        if connection.execute(WAITING).fetchone() == (len(processes),):
            return True
        with suppress(subprocess.TimeoutExpired):
            processes[0].wait(timeout=0.1)
            break
    return False


@pytest.mark.long
def test_ten_processes_at_once_prepare_an_empty_schema_once(empty_url: str, home: Path) -> None:
    with psycopg.connect(empty_url) as gate:
        gate.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        processes = [_started(empty_url, home) for _ in range(10)]
        together = _all_wait(gate, processes)
    outcomes = _outcomes(*processes)

    assert together
    assert [code for code, _, _ in outcomes] == [0] * 10, outcomes
    assert {err for _, _, err in outcomes} == {""}
    with psycopg.connect(empty_url) as connection:
        versions = connection.execute("SELECT version, applied_at FROM ballast_schema ORDER BY version").fetchall()
    assert [version for version, _ in versions] == list(scripts())
    assert len({at for _, at in versions}) == 1, "one transaction applied them all"


@pytest.mark.long
def test_processes_that_start_at_once_share_one_new_embedded_postgres(home: Path) -> None:
    outcomes = _outcomes(*(_started(None, home) for _ in range(4)))

    assert [code for code, _, _ in outcomes] == [0] * 4, outcomes
    assert not (home / "postgres/postmaster.pid").exists(), "the last one stops it"


def test_the_right_password_opens_and_a_wrong_one_is_refused_unseen(
    forks: Forks, postgres: OwnPostgres, home: Path
) -> None:
    postgres.execute("CREATE SCHEMA {role} AUTHORIZATION {role}", role=ROLE)

    opened = _doctor(forks, postgres.url_of(ROLE, RIGHT), home)
    said = _refused(forks, postgres.url_of(ROLE, WRONG), home, "password authentication failed", "check DATABASE_URL")

    assert opened.returncode == 0
    assert RIGHT not in opened.stdout
    assert WRONG not in said


def test_a_role_that_may_not_create_tables_is_told_what_to_grant(
    forks: Forks, postgres: OwnPostgres, home: Path
) -> None:
    postgres.execute("CREATE DATABASE closed")

    url = make_conninfo(postgres.url_of(ROLE, RIGHT), dbname="closed")

    _refused(forks, url, home, "may not create tables", "grant it CREATE on the schema")
    may = _doctor(forks, make_conninfo(postgres.url, dbname="closed"), home)
    assert may.returncode == 0, "a role that may does it"
    _refused(forks, url, home, "may not read Ballast's tables", "grant it SELECT, INSERT, UPDATE and DELETE")


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:an@S3cr3tW0rd@127.0.0.1:1/x", os.fsdecode(b"postgresql://me:S3cr3tW0rd\xff@127.0.0.1:1/x")],
    ids=["not escaped", "not text"],
)
def test_an_unreadable_url_is_explained_and_nothing_of_it_shown(forks: Forks, url: str, home: Path) -> None:
    said = _refused(forks, url, home, "unreadable DATABASE_URL", "postgresql://USER:PASSWORD@HOST:PORT/NAME")

    assert "S3cr3t" not in said


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b"])
def test_a_host_that_does_not_resolve_is_named_without_the_password(forks: Forks, host: str, home: Path) -> None:
    said = _refused(forks, f"postgresql://me:S3cr3tW0rd@{host}/x", home, f"{host}:5432/x", "check DATABASE_URL")

    assert "S3cr3t" not in said


@pytest.mark.parametrize(
    ("left", "why"),
    [("PG_VERSION", "invalid literal"), ("something", "exists but is not empty")],
    ids=["a torn version file", "files of something else"],
)
def test_an_embedded_postgres_that_can_not_start_says_why(forks: Forks, left: str, why: str, home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / left).touch()

    _refused(forks, None, home, "the embedded Postgres can't start", str(home / "postgres"), why, "set DATABASE_URL")
