"""Scripted planners, tools that tell what they saw, and what plans came to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from langchain_core.tools import BaseTool

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.ledger import Ledger
from graph.errors import ToolFailed
from services.endpoints import endpoints_of
from services.settings import load
from tests.integration.recording import with_parts
from tools.base import tool
from tools.execute import Executor
from tools.registry import ToolBox


def task(name: str, tool: str, *needs: str, **args: Any) -> dict[str, Any]:
    """A task as a planner writes it."""
    return {"id": name, "tool": tool, "args": args, "needs": list(needs)}


def plan(*tasks: dict[str, Any]) -> dict[str, Any]:
    """A planner's turn."""
    return {"tool_calls": [{"name": "plan", "args": {"tasks": list(tasks)}}]}


async def stands(runs: Runs, thread: str = "t") -> dict[str, str]:
    """How each task of the thread's plan stands; `open` when it has not ended."""
    values = (await runs.known(thread)).values
    results = values.get("results", {})
    return {one["id"]: results[one["id"]]["stands"] if one["id"] in results else "open" for one in values["tasks"]}


def pending(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Tier and reason of each call that waits, by tool."""
    return {row["tool"]: (row["risk"], row["reason"]) for row in report["approvals"] if row["status"] == "pending"}


@dataclass
class Desk:
    """Tools of each kind. They keep what they were called with, and how many of them ran together."""

    seen: list[tuple[str, Any]] = field(default_factory=list)
    """(tool, its argument), in the order they began."""
    running: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    """Most of each tool, and of all (""), in flight together."""
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    """A lookup of this id waits until its gate is set."""

    async def _at(self, name: str, value: Any) -> None:
        self.seen.append((name, value))
        self.running.update([name, ""])
        for one in (name, ""):
            self.most[one] = max(self.most[one], self.running[one])
        gate = self.gates.get(str(value))
        await (gate.wait() if gate else asyncio.sleep(0))
        self.running.subtract([name, ""])

    def tools(self) -> list[BaseTool]:
        @tool(risk="low", untrusted_output=False, idempotent=True)
        async def lookup(id: str) -> str:  # noqa: A002 - as DESIGN's tools call it
            """Look something up.

            Args:
                id: What.
            """
            await self._at("lookup", id)
            return json.dumps({"id": f"<{id}>", "price": 12.5, "lines": [{"sku": f"{id}-1"}]})

        @tool(risk="low", untrusted_output=False, idempotent=True, at_once=2)
        async def narrow(id: str) -> str:  # noqa: A002 - as above
            """Look up what two at a time may ask.

            Args:
                id: What.
            """
            await self._at("narrow", id)
            return id

        @tool(risk="low", untrusted_output=False, idempotent=True, host=lambda args: str(args["id"])[0])
        async def hosted(id: str) -> str:  # noqa: A002 - as above
            """Ask a machine: the one its first letter names.

            Args:
                id: What.
            """
            await self._at("hosted", id)
            return id

        @tool(risk="low", untrusted_output=True, idempotent=True)
        async def outside(text: str) -> str:
            """Read what a stranger wrote.

            Args:
                text: What they wrote.
            """
            await self._at("outside", text)
            return text

        @tool(risk="low", untrusted_output=False, idempotent=True)
        async def broken(id: str) -> str:  # noqa: A002 - as above
            """Fail.

            Args:
                id: What.
            """
            await self._at("broken", id)
            raise ToolFailed(f"{id} is not there")

        @tool(risk="low", untrusted_output=False, idempotent=False)
        async def note(text: str) -> str:
            """Write something down.

            Args:
                text: What.
            """
            await self._at("note", text)
            return f"noted {text}"

        @tool(risk="high", untrusted_output=False, idempotent=False, reason="it costs money")
        async def buy(item: str, price: float) -> str:
            """Buy something.

            Args:
                item: What.
                price: In USD.
            """
            await self._at("buy", (item, price))
            return json.dumps({"order": f"o-{item}"})

        return [lookup, narrow, hosted, outside, broken, note, buy]

    def calls(self, name: str) -> list[Any]:
        """What the tool was called with."""
        return [value for tool, value in self.seen if tool == name]


def runs_at(desk: Desk, opened: Opened, *more: BaseTool) -> Runs:
    """Runs whose tools are those of the desk."""
    box = ToolBox([*desk.tools(), *more], handlings=opened.settings.untrusted)
    return with_parts(
        opened, tools=Executor(box, Ledger(opened.pool), endpoints_of(load()), results=opened.services.results)
    )
