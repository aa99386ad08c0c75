"""A server with approvals on it: by real runs, or as rows where many are wanted."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import yaml
from langgraph_sdk import get_client
from psycopg.types.json import Json

if TYPE_CHECKING:
    from tests.acceptance.conftest import Server

GO: Any = {"messages": [{"role": "user", "content": "do what is to be done"}]}

ASK = """
INSERT INTO approvals (id, thread_id, interrupt_id, call_id, tool, args, risk, reason, deadline, requester, created_at)
VALUES (%(id)s, %(thread_id)s, %(interrupt_id)s, 'c', %(tool)s, %(args)s, %(risk)s, %(reason)s,
        now() + %(left)s::interval, %(requester)s, now() - make_interval(secs => %(ago)s))
"""


@dataclass(kw_only=True)
class Desk:
    """What tests ask a server for."""

    server: Server
    folder: Path
    headers: dict[str, str] = field(default_factory=dict)

    async def asked(self, *calls: dict[str, Any], **context: Any) -> list[str]:
        """Approval ids, in order, of a run that makes these calls at once and then only speaks."""
        return await self.asked_in_turn(calls, **context)

    async def asked_in_turn(self, *steps: Sequence[dict[str, Any]], **context: Any) -> list[str]:
        """The same of a run that makes the calls of one step after those of another."""
        path = self.folder / f"{uuid.uuid4().hex}.yaml"
        turns = [*({"tool_calls": list(calls)} for calls in steps), *[{"content": "Done."}] * 5]
        path.write_text(yaml.safe_dump({"turns": turns}))
        async with get_client(url=self.server.url, headers=self.headers) as client:
            thread = (await client.threads.create())["thread_id"]
            await client.runs.wait(thread, "react", input=GO, context={"model": f"scripted:{path}", **context})
        return self.ids(thread)

    def ids(self, thread: str) -> list[str]:
        return [row["id"] for row in self.rows("thread_id = %s ORDER BY position", thread)]

    def insert(self, tool: str, args: dict[str, Any], **fields: Any) -> str:
        """An approval nobody's run waits for."""
        [made] = self.insert_all(tool, [args], **fields)
        return made

    def insert_all(self, tool: str, calls: Sequence[dict[str, Any]], *, ago: float = 0, **fields: Any) -> list[str]:
        """One for each of these arguments, asked a second after the other, the last `ago` seconds from now."""
        row: dict[str, Any] = {"interrupt_id": "i", "risk": "high", "reason": "because", "left": None, "tool": tool}
        row |= {"requester": "ann", **fields}
        rows = [
            row
            | {"id": f"ap-{uuid.uuid4().hex[:12]}", "thread_id": str(uuid.uuid4()), "args": Json(args)}
            | {"ago": ago + len(calls) - 1 - at}
            for at, args in enumerate(calls)
        ]
        with psycopg.connect(self.server.database_url) as connection, connection.cursor() as cursor:
            cursor.executemany(ASK, rows)
        return [str(one["id"]) for one in rows]

    def execute(self, statement: str, values: Any = None) -> None:
        with psycopg.connect(self.server.database_url, autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def rows(self, where: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.server.database_url, row_factory=psycopg.rows.dict_row) as connection:
            query = f"SELECT * FROM approvals WHERE {where}"  # noqa: S608 - a test's own words
            return connection.execute(query.encode(), values).fetchall()

    def clear(self) -> None:
        """Nothing is pending any more."""
        self.execute("UPDATE approvals SET status = 'cancelled', decided_at = now() WHERE status = 'pending'")

    def row(self, approval_id: str) -> dict[str, Any]:
        [row] = self.rows("id = %s", approval_id)
        return row

    def http(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.server.url, timeout=60, headers=self.headers, **options)

    async def decide(self, approval_id: str, **decision: Any) -> httpx.Response:
        async with self.http() as http:
            return await http.post(f"/approvals/{approval_id}", json=decision)


def csrf_in(html: str) -> str:
    """The value a form of this page holds."""
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found is not None
    return found[1]


def ids_in(html: str) -> list[str]:
    """The approvals a page lists, in order."""
    return re.findall(r'<li class="entry" data-id="([^"]+)"', html)
