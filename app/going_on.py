"""Going on with a thread inside the LangGraph server: by a run of its own, so that it knows how the thread stands."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx
from langgraph_sdk import get_client
from psycopg import errors
from psycopg_pool import PoolTimeout

from app.lifespan import Opened
from app.runs import Runs
from graph.errors import BallastError, DatabaseUnavailable, ThreadBusy, ThreadTaken

PAUSE_S = 0.25
UNKNOWN, BUSY = 404, 409


async def answering() -> None:
    """Wait until this process' server takes requests."""
    client = get_client()
    while True:
        try:
            await client.http.get("/ok")
        except httpx.HTTPError:
            await asyncio.sleep(PAUSE_S)
        else:
            return


async def go_on(opened: Opened, thread_id: str) -> None:
    """Go on with the thread until it ends or waits again.

    No answer travels with the run: the approval rows hold what was decided.

    Raises:
        ThreadBusy: it runs already, here or in another process.
        ThreadTaken: another process has taken it over.
        DatabaseUnavailable: the run stopped for want of one.
        BallastError: it stopped by another error.
    """
    row = await opened.runs.get(thread_id)
    if not (is_uuid(thread_id) and await _by_the_server(thread_id, row.graph if row else "react")):
        await Runs(opened=opened, progress=lambda _node, _change: None).advance(thread_id)


async def _by_the_server(thread_id: str, graph_id: str) -> bool:
    """Whether the server has the thread; then it has gone on with it."""
    client = get_client()
    try:
        ended: Any = await client.runs.wait(
            thread_id, graph_id, input=None, multitask_strategy="reject", raise_error=False
        )
    except httpx.HTTPStatusError as error:
        if error.response.status_code == UNKNOWN:
            return False
        if error.response.status_code == BUSY or error.response.is_server_error:  # the next job tries again
            raise ThreadBusy(thread_id) from None
        raise
    failed = ended.get("__error__") if isinstance(ended, dict) else None
    if failed and failed.get("error") == ThreadBusy.__name__:
        raise ThreadBusy(thread_id)
    if failed and failed.get("error") == ThreadTaken.__name__:
        raise ThreadTaken(thread_id)
    if failed and _is_outage(str(failed.get("error"))):
        raise DatabaseUnavailable(f"thread {thread_id} stopped for want of a database: {failed.get('message')}")
    if failed:  # as in a worker of its own: the job is kept as failed
        raise BallastError(f"thread {thread_id} stopped: {failed.get('error')}: {failed.get('message')}")
    return True


def _is_outage(name: str) -> bool:
    """Whether an error of this name says that the database was away: then the thread is to go on later."""
    if name in {DatabaseUnavailable.__name__, PoolTimeout.__name__}:
        return True
    kind = getattr(errors, name, None)
    return isinstance(kind, type) and issubclass(kind, errors.OperationalError)


def is_uuid(thread_id: str) -> bool:
    """The server takes no other ids."""
    try:
        UUID(thread_id)
    except ValueError:
        return False
    return True
