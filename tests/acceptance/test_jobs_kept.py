"""A job of the server is done only when its thread went on."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import psycopg

from tests.acceptance.conftest import Server
from tests.acceptance.test_answers import MAIL, http, waiting

__all__ = ["http", "waiting"]

# As Postgres says it when it has no room; small writes, as to the queue, still find some.
FULL = """
CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END
$$;
CREATE TRIGGER disk_full BEFORE INSERT ON checkpoints FOR EACH ROW EXECUTE FUNCTION disk_full();
"""
ROOM = "DROP TRIGGER disk_full ON checkpoints; DROP FUNCTION disk_full"


async def test_a_mail_that_was_due_while_the_disk_was_full_is_sent_once_there_is_room(
    waiting: Any, http: httpx.AsyncClient, server: Server
) -> None:
    thread = await waiting([MAIL])
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        connection.execute(FULL)
        try:
            thread.release_mail()
            async with asyncio.timeout(60):
                while "error" not in [run["status"] for run in (await http.get(f"/threads/{thread.id}/runs")).json()]:
                    pass
        finally:
            connection.execute(ROOM)

    async with asyncio.timeout(60):
        while (await http.get(f"/threads/{thread.id}/state")).json()["values"].get("outcome") != "completed":
            pass
    assert thread.rows() == {"send_email": "approved"}
    assert thread.effects() == ["send_email"]
