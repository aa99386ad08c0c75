from __future__ import annotations

import asyncio
import os

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from checkpoints.database import Pool, open_pool
from checkpoints.migrate import CREATE_VERSIONS, LOCK, migrate, scripts
from graph.errors import DatabaseUnavailable


async def test_ten_at_once_apply_each_migration_once(empty_url: str) -> None:
    async def start() -> None:
        async with open_pool(empty_url, max_size=1) as pool:
            await migrate(pool)

    await asyncio.gather(*(start() for _ in range(10)))

    with psycopg.connect(empty_url) as connection:
        applied = connection.execute("SELECT version FROM ballast_schema ORDER BY version").fetchall()
    assert [version for (version,) in applied] == list(scripts())


async def test_an_older_schema_is_brought_up_to_date(empty_url: str) -> None:
    async with open_pool(empty_url) as pool:
        async with pool.connection() as connection:
            await connection.execute(CREATE_VERSIONS)
            await connection.execute(scripts()[1].read_bytes(), prepare=False)
            await connection.execute("INSERT INTO ballast_schema (version) VALUES (1)")

        await migrate(pool)

        async with pool.connection() as connection:
            await connection.execute("SELECT effect_key FROM approvals")


async def test_a_schema_that_is_up_to_date_is_not_waited_for(pool: Pool) -> None:
    async with pool.connection() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))

        await asyncio.wait_for(migrate(pool), 10)


async def test_a_newer_schema_is_refused_naming_both_versions(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO ballast_schema (version) VALUES (999)")

    with pytest.raises(DatabaseUnavailable, match=rf"version 999, this code knows {max(scripts())}: update"):
        await migrate(pool)


async def test_a_role_that_may_not_create_tables_is_told_so(empty_url: str) -> None:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS ballast_reader")
        connection.execute("CREATE ROLE ballast_reader LOGIN PASSWORD 'x'")
        row = connection.execute("SELECT current_schema()").fetchone()
        schema = sql.Identifier(row[0] if row else "")
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO ballast_reader").format(schema))
    try:
        async with open_pool(make_conninfo(empty_url, user="ballast_reader")) as pool:
            with pytest.raises(DatabaseUnavailable, match="may not create tables"):
                await migrate(pool)
    finally:
        with psycopg.connect(empty_url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY ballast_reader; DROP ROLE ballast_reader")


async def test_a_role_that_may_not_read_the_tables_is_told_so(pool: Pool, database_url: str) -> None:
    role = f"ballast_blind_{os.getpid()}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(role)))
        row = connection.execute("SELECT current_schema()").fetchone()
        names = sql.Identifier(row[0] if row else ""), sql.Identifier(role)
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(*names))
    try:
        async with open_pool(make_conninfo(database_url, user=role, password="x")) as blind:  # noqa: S106 - its own
            with pytest.raises(DatabaseUnavailable, match=r"may not read Ballast's tables.*grant it SELECT"):
                await migrate(blind)
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            name = sql.Identifier(role)
            connection.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(name, name))
