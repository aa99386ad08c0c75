"""Two public chat pages as the server sees them: the requests a browser sent for each button, recorded from
agent-chat-ui fdc87e6 and agent-inbox f38301b, field for field."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import httpx
import psycopg
import pytest
import yaml

from tests.acceptance.conftest import Server


@dataclass(kw_only=True)
class Reply:
    """What a page got: the status, and why it was refused or the events of the run."""

    status: int
    detail: str = ""
    events: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def errors(self) -> list[Any]:
        """What the page shows as errors of the run."""
        return [data for name, data in self.events if name == "error"]


@dataclass(kw_only=True)
class Page:
    """A page that shows one thread."""

    http: httpx.AsyncClient
    thread: str = ""

    async def _stream(self, body: dict[str, Any]) -> Reply:
        url = f"/threads/{self.thread}/runs/stream"
        async with self.http.stream("POST", url, json={"assistant_id": "react", **body}) as response:
            if response.status_code >= httpx.codes.BAD_REQUEST:
                await response.aread()
                return Reply(status=response.status_code, detail=response.json()["detail"])
            lines = [line async for line in response.aiter_lines()]
        names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
        data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        return Reply(status=response.status_code, events=list(zip(names, data, strict=True)))


@dataclass(kw_only=True)
class ChatUi(Page):
    """agent-chat-ui. It names the newest checkpoint it has seen with all it sends."""

    checkpoint: dict[str, Any] | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def open(self, thread: str = "") -> ChatUi:
        """Show a thread, or begin one as the first message does."""
        self.thread = thread or (await self.http.post("/threads", json={"metadata": {}})).json()["thread_id"]
        if thread:
            await self.look()
        return self

    async def look(self) -> list[dict[str, Any]]:
        """What the page asks for after each run; the actions it shows."""
        history = (await self.http.post(f"/threads/{self.thread}/history", json={"limit": 10})).json()
        newest = history[0]
        self.checkpoint = {key: newest["checkpoint"][key] for key in ("checkpoint_id", "checkpoint_ns")}
        self.messages = newest["values"].get("messages", [])
        asked = [one for task in newest["tasks"] for one in task["interrupts"]]
        return asked[0]["value"]["action_requests"] if asked else []

    async def send(self, text: str) -> Reply:
        """Type and send. Each call without a result right behind it gets a made-up one first."""
        said = {"id": str(uuid4()), "type": "human", "content": [{"type": "text", "text": text}]}
        return await self._message({"messages": [*self._made_up(), said]})

    async def edit_first(self, text: str) -> Reply:
        """Edit the first message: the page goes back to before it."""
        history = (await self.http.post(f"/threads/{self.thread}/history", json={"limit": 10})).json()
        first = history[-1]["checkpoint"]
        self.checkpoint = {key: first[key] for key in ("checkpoint_id", "checkpoint_ns")}
        return await self._message({"messages": [{"type": "human", "content": text}]})

    async def answer(self, *decisions: dict[str, Any]) -> Reply:
        """Approve, Submit, Submit rejection, Approve All, Submit all."""
        return await self._command({"resume": {"decisions": list(decisions)}})

    async def resolve(self) -> Reply:
        """Mark as Resolved."""
        return await self._command({"goto": "__end__"})

    async def _message(self, values: dict[str, Any]) -> Reply:
        body = {"stream_mode": ["values", "messages-tuple", "custom"], "on_disconnect": "continue"}
        flags = {"stream_subgraphs": True, "stream_resumable": True}
        return await self._stream({"input": values, **body, **flags, **self._place()})

    async def _command(self, command: dict[str, Any]) -> Reply:
        body = {"stream_mode": ["messages-tuple", "values", "custom"], "on_disconnect": "cancel"}
        return await self._stream({"input": {}, "command": command, "stream_resumable": False, **body, **self._place()})

    def _place(self) -> dict[str, Any]:
        return {"checkpoint": self.checkpoint} if self.checkpoint else {}

    def _made_up(self) -> list[dict[str, Any]]:
        behind = [*self.messages, {"type": ""}][1:]
        return [
            {
                "type": "tool",
                "tool_call_id": call["id"],
                "id": f"do-not-render-{uuid4()}",
                "name": call["name"],
                "content": "Successfully handled tool call.",
            }
            for message, after in zip(self.messages, behind, strict=True)
            if message["type"] == "ai" and after["type"] != "tool"
            for call in message["tool_calls"]
        ]


@dataclass(kw_only=True)
class AgentInbox(Page):
    """agent-inbox. It shows the first action only, and names neither a checkpoint nor an interrupt."""

    shown: dict[str, Any] = field(default_factory=dict)

    async def open(self, thread: str) -> AgentInbox:
        """Find the thread in the list, and show what it waits for."""
        self.thread = thread
        search = {"offset": 0, "limit": 100, "status": "interrupted", "metadata": {"graph_id": "react"}}
        listed = (await self.http.post("/threads/search", json=search)).json()
        assert thread in [one["thread_id"] for one in listed]
        await self.look()
        return self

    async def look(self) -> None:
        """Show what the thread waits for now."""
        found = (await self.http.get(f"/threads/{self.thread}")).json()
        [[asked]] = found["interrupts"].values()
        first = asked["value"]["action_requests"][0]
        self.shown = {"action": first["name"], "args": _in_a_browser(first["arguments"])}

    async def accept(self) -> Reply:
        """Accept."""
        return await self._answer("accept", self.shown)

    async def edit(self, **changed: str) -> Reply:
        """Change fields, then Submit."""
        return await self._answer("edit", {**self.shown, "args": {**self.shown["args"], **changed}})

    async def respond(self, text: str) -> Reply:
        """Send Response."""
        return await self._answer("response", text)

    async def resolve(self) -> int:
        """Mark as Resolved; the status of the answer."""
        body = {"values": None, "as_node": "__end__"}
        return (await self.http.post(f"/threads/{self.thread}/state", json=body)).status_code

    async def _answer(self, kind: str, args: Any) -> Reply:
        return await self._stream({"command": {"resume": [{"type": kind, "args": args}]}, "stream_mode": "events"})


def _in_a_browser(value: Any) -> Any:
    """JSON as JavaScript reads and writes it: 38.0 becomes 38."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _in_a_browser(one) for key, one in value.items()}
    return [_in_a_browser(one) for one in value] if isinstance(value, list) else value


@dataclass(kw_only=True)
class Threads:
    """Threads for pages to show, and what became of them."""

    http: httpx.AsyncClient
    server: Server
    folder: Path

    def script(self, *turns: list[dict[str, Any]]) -> str:
        """The model of these threads: it makes the calls of each of these turns, then says done."""
        script = self.folder / "script.yaml"
        script.write_text(yaml.safe_dump({"turns": [*({"tool_calls": turn} for turn in turns), {"content": "done"}]}))
        return f"scripted:{script}"

    async def begin(self, *turns: list[dict[str, Any]]) -> str:
        """A thread that waits, or has ended."""
        thread = (await self.http.post("/threads", json={})).json()["thread_id"]
        said = {"messages": [{"role": "user", "content": "go"}]}
        body = {"assistant_id": "react", "input": said, "context": {"model": self.script(*turns)}}
        assert (await self.http.post(f"/threads/{thread}/runs/wait", json=body)).is_success
        return str(thread)

    async def chat(self, *turns: list[dict[str, Any]]) -> ChatUi:
        """agent-chat-ui showing such a thread."""
        return await ChatUi(http=self.http).open(await self.begin(*turns))

    async def inbox(self, *turns: list[dict[str, Any]]) -> AgentInbox:
        """agent-inbox showing such a thread."""
        return await AgentInbox(http=self.http).open(await self.begin(*turns))

    async def asked(self, thread: str) -> list[str]:
        """The tools the thread asks about."""
        tasks = (await self._state(thread))["tasks"]
        values = [one["value"] for task in tasks for one in task["interrupts"]]
        return [action["name"] for value in values for action in value["action_requests"]]

    async def messages(self, thread: str, kind: str) -> list[Any]:
        """What the thread's messages of this kind say."""
        return [one["content"] for one in (await self._state(thread))["values"]["messages"] if one["type"] == kind]

    async def ended(self, thread: str) -> tuple[str, str]:
        """How the server lists a thread that asks nothing, and its outcome."""
        listed = (await self.http.get(f"/threads/{thread}")).json()
        assert listed["interrupts"] == {}
        return listed["status"], (await self._state(thread))["values"]["outcome"]

    async def _state(self, thread: str) -> Any:
        return (await self.http.get(f"/threads/{thread}/state")).json()

    def rows(self, thread: str) -> list[tuple[str, str]]:
        """Each approval's tool and status, in the order they were asked."""
        return self._select("tool, status FROM approvals WHERE thread_id = %s ORDER BY created_at, position", thread)

    def effects(self, thread: str) -> list[str]:
        """The tools that had an effect."""
        return [tool for (tool,) in self._select("tool FROM effects WHERE thread_id = %s ORDER BY tool", thread)]

    def _select(self, what: LiteralString, thread: str) -> list[Any]:
        with psycopg.connect(self.server.database_url) as connection:
            return connection.execute(f"SELECT {what}", (thread,)).fetchall()

    async def _rests(self, thread: str, asking: list[str]) -> bool:
        listed = (await self.http.get(f"/threads/{thread}")).json()
        return listed["status"] == ("interrupted" if asking else "idle") and await self.asked(thread) == asking

    async def deadline_passes(self, thread: str, *, until: list[str]) -> None:
        """The server's timer sends the mail and goes on, until the thread asks about these tools."""
        with psycopg.connect(self.server.database_url, autocommit=True) as connection:
            due = "UPDATE approvals SET deadline = now() WHERE thread_id = %s AND deadline IS NOT NULL"
            connection.execute(due, (thread,))
            soon = "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE args ->> 'thread_id' = %s"
            connection.execute(soon, (thread,))
        for _ in range(1_000):
            if self.rows(thread)[0] == ("send_email", "approved") and await self._rests(thread, until):
                return
        pytest.fail("the mail never went out")
