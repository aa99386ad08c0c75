"""Ordered `migrations/NNNN_name.sql`, applied in one transaction under an advisory lock."""

from __future__ import annotations

from importlib import resources
from importlib.metadata import distribution
from importlib.resources.abc import Traversable
from pathlib import Path

import psycopg

from checkpoints.database import Pool
from graph.errors import DatabaseUnavailable

LOCK = 0x62616C6C617374
"""Key of the advisory lock: "ballast" in hexadecimal."""

CREATE_VERSIONS = """
CREATE TABLE IF NOT EXISTS ballast_schema (version INT PRIMARY KEY, applied_at TIMESTAMPTZ DEFAULT now())
"""
HAS_VERSIONS = "SELECT to_regclass('ballast_schema') IS NOT NULL AS known"
CURRENT = "SELECT coalesce(max(version), 0) AS version FROM ballast_schema"
RECORD = "INSERT INTO ballast_schema (version) VALUES (%s)"


QUEUE = 10
"""The version that brings procrastinate's own schema, as its release 3.10 makes it."""


def scripts() -> dict[int, Traversable]:
    """SQL files by version, in order."""
    folder = resources.files("checkpoints") / "migrations"
    files = {int(entry.name.split("_", 1)[0]): entry for entry in folder.iterdir() if entry.name.endswith(".sql")}
    return dict(sorted({**files, QUEUE: _queue_schema()}.items()))


def _queue_schema() -> Path:
    """Found without loading the library, which most processes never use."""
    return Path(str(distribution("procrastinate").locate_file("procrastinate/sql/schema.sql")))


async def migrate(pool: Pool) -> None:
    """Bring the schema to this code's version. Any number of processes may call it at once.

    Raises:
        DatabaseUnavailable: the schema is newer than this code, or the role may not create or read its tables.
    """
    wanted = scripts()
    newest = max(wanted)
    async with pool.connection() as connection:
        try:
            row = await (await connection.execute(HAS_VERSIONS)).fetchone()
            if row and row["known"] and await _version(connection, newest) == newest:
                return
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseUnavailable(
                f"this role may not read Ballast's tables ({error.diag.message_primary}): grant it SELECT, INSERT, "
                "UPDATE and DELETE on all tables of the schema"
            ) from error
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                await connection.execute(CREATE_VERSIONS)
                version = await _version(connection, newest)
                for number, script in wanted.items():
                    if number > version:
                        await connection.execute(script.read_bytes(), prepare=False)
                        await connection.execute(RECORD, (number,))
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseUnavailable(
                f"this role may not create tables ({error.diag.message_primary}): grant it CREATE on the schema, "
                "or run 'ballast doctor' once as a role that may"
            ) from error


async def _version(connection: psycopg.AsyncConnection[dict[str, int]], newest: int) -> int:
    row = await (await connection.execute(CURRENT)).fetchone()
    version = row["version"] if row else 0
    if version > newest:
        raise DatabaseUnavailable(
            f"the database schema is at version {version}, this code knows {newest}: "
            "update Ballast, or use another database"
        )
    return version
