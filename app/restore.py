"""Threads the dev server forgot: it writes its own records every ten seconds, Postgres knows all of them."""

from __future__ import annotations

import logging
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from app.going_on import is_uuid
from checkpoints.owners import OWNER_KEY
from checkpoints.saver import PostgresSaver

logger = logging.getLogger(__name__)


async def restore_threads(saver: PostgresSaver) -> None:
    """Register every thread of the database with the server this process is.

    Threads started on the command line come along, if their id is a UUID as the server wants it. One the
    server knows already stays as it is. Each is its owner's again; one that has none is seen by admins.
    """
    client = get_client()
    for row in await saver.list_threads():
        if is_uuid(row["thread_id"]):
            try:
                await _restore(client, row)
            except httpx.HTTPError as error:
                logger.warning("thread %s could not be given back to the server: %s", row["thread_id"], error)


async def _restore(client: LangGraphClient, row: dict[str, Any]) -> None:
    """The server learns that a thread waits from a run that ends so: `approve` is executed again and asks the same.

    What was decided meanwhile goes on, as it does in every process that has the thread.
    """
    thread_id, graph_id = row["thread_id"], row["graph_id"]
    thread = await client.threads.create(
        thread_id=thread_id, graph_id=graph_id, metadata={OWNER_KEY: row["owner"]}, if_exists="do_nothing"
    )
    if row["waiting"] and thread["status"] == "idle":
        await client.runs.create(thread_id, graph_id, input=None, multitask_strategy="reject")
