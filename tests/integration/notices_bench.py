"""Services that tell of approvals, and the jobs they put in for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.lifespan import Opened, opened
from app.runs import Runs
from services.settings import load
from tests.integration.conftest import ORDER, Script, calls, ids_of, say

JOBS = """
SELECT queue_name AS queue, args, scheduled_at - now() AS due FROM procrastinate_jobs
WHERE queue_name <> 'threads' ORDER BY id
"""
ADDRESSES = "ann@example.com, bob@example.com"


@asynccontextmanager
async def telling(database_url: str, home: Path, **settings: Any) -> AsyncIterator[Opened]:
    chosen = load(database_url=database_url, home=home, openai_api_key=None, **settings)
    async with opened(chosen) as everything:
        yield everything


async def start(everything: Opened, context: Any) -> dict[str, Any]:
    return await Runs(opened=everything, progress=lambda _node, _change: None).start(
        "order lamps", thread_id="t", context=context
    )


async def jobs_of(everything: Opened) -> list[dict[str, Any]]:
    async with everything.pool.connection() as connection:
        rows: list[dict[str, Any]] = await (await connection.execute(JOBS)).fetchall()
    return rows


async def asked(everything: Opened, script: Script) -> str:
    """The id of an approval that waits."""
    report = await start(everything, script(calls(ORDER), say("done")))
    return ids_of(report)["place_order"]
