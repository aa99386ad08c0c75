"""`ballast doctor`: is everything a run needs in place?"""

from __future__ import annotations

import asyncio
from typing import Any

from app.lifespan import Opened
from graph.errors import BadSetting


async def examine(opened: Opened) -> list[dict[str, Any]]:
    """One row a check: {"check", "ok", "status"}. Opening the services has proven the database already."""
    settings = opened.settings
    async with opened.pool.connection() as connection:
        row: dict[str, Any] | None = await (
            await connection.execute(
                "SELECT current_setting('server_version') AS postgres, max(version) AS schema FROM ballast_schema"
            )
        ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    chain = f"ok: {settings.model}"
    try:
        opened.check_chain(settings.model)
    except BadSetting as error:
        chain, runs = str(error), False
    else:
        runs = True
    workspace = settings.workspace
    there = await asyncio.to_thread(workspace.is_dir)
    engine = "DATABASE_URL" if settings.database_url else "embedded"
    return [
        _row("database", f"ok: {engine}, Postgres {row['postgres']}"),
        _row("schema", f"ok: version {row['schema']}"),
        _row("model chain", chain, ok=runs),
        _row("workspace", f"ok: {workspace}" if there else f"no folder {workspace}: set BALLAST_WORKSPACE", ok=there),
        _row("encryption", "on" if settings.encryption_key else "off: set BALLAST_ENCRYPTION_KEY"),
    ]


def _row(check: str, status: str, *, ok: bool = True) -> dict[str, Any]:
    return {"check": check, "ok": ok, "status": status}
