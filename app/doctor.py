"""`ballast doctor`: is everything a run needs in place?"""

from __future__ import annotations

from typing import Any

from app.lifespan import Opened
from graph.errors import BadSetting


async def examine(opened: Opened) -> list[dict[str, str]]:
    """One row a check: {"check", "status"}. Opening the services has proven the database already."""
    settings = opened.settings
    async with opened.pool.connection() as connection:
        row: dict[str, Any] | None = await (
            await connection.execute(
                "SELECT current_setting('server_version') AS postgres, max(version) AS schema FROM ballast_schema"
            )
        ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    try:
        opened.check_chain(settings.model)
        chain = f"ok: {settings.model}"
    except BadSetting as error:
        chain = str(error)
    workspace = settings.workspace
    return [
        {
            "check": "database",
            "status": f"ok: {'DATABASE_URL' if settings.database_url else 'embedded'}, Postgres {row['postgres']}",
        },
        {"check": "schema", "status": f"ok: version {row['schema']}"},
        {"check": "model chain", "status": chain},
        {
            "check": "workspace",
            "status": f"ok: {workspace}" if workspace.is_dir() else f"no folder {workspace}: set BALLAST_WORKSPACE",
        },
        {
            "check": "encryption",
            "status": "on" if settings.encryption_key else "off: set BALLAST_ENCRYPTION_KEY",
        },
    ]
