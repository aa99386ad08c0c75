"""A server with approvals on it: by real runs, or as rows where many are wanted."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml
from langgraph_sdk import get_client
from psycopg.types.json import Json

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
        path = self.folder / f"{uuid.uuid4().hex}.yaml"
        path.write_text(yaml.safe_dump({"turns": [{"tool_calls": list(calls)}, *[{"content": "Done."}] * 5]}))
        async with get_client(url=self.server.url, headers=self.headers) as client:
            thread = (await client.threads.create())["thread_id"]
            await client.runs.wait(thread, "react", input=GO, context={"model": f"scripted:{path}", **context})
        return self.ids(thread)

    def ids(self, thread: str) -> list[str]:
        return [row["id"] for row in self.rows("thread_id = %s ORDER BY position", thread)]

    def insert(self, tool: str, args: dict[str, Any], **fields: Any) -> str:
        """An approval nobody's run waits for."""
        row: dict[str, Any] = {
            "thread_id": str(uuid.uuid4()),
            "interrupt_id": "i",
            "risk": "high",
            "reason": "because",
            "left": None,
        }
        row |= {"requester": "ann", "ago": 0, "id": f"ap-{uuid.uuid4().hex[:12]}", "tool": tool, **fields}
        self.execute(ASK, row | {"args": Json(args)})
        return str(row["id"])

    def execute(self, statement: str, values: Any = None) -> None:
        with psycopg.connect(self.server.database_url, autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def rows(self, where: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.server.database_url, row_factory=psycopg.rows.dict_row) as connection:
            query = f"SELECT * FROM approvals WHERE {where}"  # noqa: S608 - a test's own words
            return connection.execute(query.encode(), values).fetchall()

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
