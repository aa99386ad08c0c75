"""Plans beside their critical paths, and beside agents that take one step after the other."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from app.lifespan import Opened, opened
from app.runs import Runs
from benchmarks.plan_scripts import REQUESTS, SAID, SHAPES, Turn, plan_of
from checkpoints.ledger import Ledger
from graph.context import LocalContext
from services import settings
from services.endpoints import endpoints_of
from services.scripted import ScriptedModel
from tools.base import tool
from tools.execute import Executor
from tools.registry import ToolBox

TOOL_S, MODEL_S = 0.2, 0.4
ROUNDS = 5
MOST_S, MOST_SHARE = 0.1, 0.1
"""What a plan may take beyond its critical path: the greater of the two."""

Row = tuple[str, ...]


@tool(risk="low", untrusted_output=False, idempotent=True)
async def search(text: str) -> str:
    """Look something up.

    Args:
        text: What.
    """
    await asyncio.sleep(TOOL_S)
    return f"found {text}"


@tool(risk="low", untrusted_output=False, idempotent=False)
async def note(text: str) -> str:
    """Write something down.

    Args:
        text: What.
    """
    await asyncio.sleep(TOOL_S)
    return f"noted {text}"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Both graphs over one Postgres, with its saver, ledger and limits, and the peer with its own saver."""

    opened: Opened
    peer_saver: AsyncPostgresSaver
    folder: Path
    stored: dict[str, float] = field(default_factory=dict)
    """When each node of the run that goes on was stored."""

    def script(self, model_s: float, **lists: Any) -> Path:
        """A file of turns that take `model_s` seconds each."""
        file = self.folder / f"{uuid4().hex}.yaml"
        timed = {
            name: {key: _timed(turns, model_s) for key, turns in given.items()}
            if isinstance(given, dict)
            else _timed(given, model_s)
            for name, given in lists.items()
        }
        file.write_text(yaml.safe_dump(timed))
        return file

    @cached_property
    def runs(self) -> Runs:
        """Its graphs are compiled once, as in a service."""
        return Runs(opened=self.opened, progress=lambda node, _: self.stored.update({node: time.perf_counter()}))

    async def run(self, script: Path, graph: str) -> tuple[int, dict[str, float]]:
        """A whole run, approved at once where it asks: its model calls, and when each of its nodes was stored."""
        self.stored.clear()
        context = LocalContext(model=f"scripted:{script}", workspace=self.folder)
        thread = uuid4().hex
        report = await self.runs.start("go", thread_id=thread, context=context, graph=graph)
        for row in report["approvals"]:  # what a sub-task worded is nobody's word yet: someone says yes at once
            await self.opened.approvals.decide(row["id"], {"type": "approve"}, by="a person")
            report = await self.runs.resume(thread, context=context)
        if report["outcome"] != "completed":
            raise AssertionError(report["answer"])
        return int(report["usage"]["model_calls"]), dict(self.stored)

    async def calls(self, script: Path, graph: str) -> int:
        """A whole run; how many model calls it made."""
        made, _ = await self.run(script, graph)
        return made

    async def run_peer(self, script: Path) -> int:
        """The same by `create_agent`."""
        agent: Any = create_agent(ScriptedModel.from_file(script), [search, note], checkpointer=self.peer_saver)
        config = {"configurable": {"thread_id": uuid4().hex}}
        values = await agent.ainvoke({"messages": [HumanMessage("go")]}, config, durability="sync")
        return sum(isinstance(message, AIMessage) for message in values["messages"])


def _timed(turns: Sequence[Turn], model_s: float) -> list[Turn]:
    return [{**turn, "delay_s": model_s} for turn in turns]


async def shapes(bench: Bench) -> list[Row]:
    """Runs from the request to the stored answer. Their two model calls take no time; all that Ballast does counts."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in SHAPES}
    scripts = {name: bench.script(0.0, turns=[SAID], planner=[plan_of(tasks)]) for name, (tasks, _) in SHAPES.items()}
    for number in range(ROUNDS + 1):
        for name, script in scripts.items():
            began = time.perf_counter()
            _, stored = await bench.run(script, "plan")
            if number:  # the first round fills caches
                spent[name].append((stored["execute"] - stored["plan"], time.perf_counter() - began))
    rows: list[Row] = []
    for name, (_, calls) in SHAPES.items():
        path = calls * TOOL_S
        tasks, whole = ([one[place] for one in spent[name]] for place in (0, 1))
        allowed = max(MOST_S, MOST_SHARE * path)
        rows.append(
            (name, f"{path:.1f} s", _beyond(tasks, path), _beyond(whole, path), f"{1_000 * allowed:.0f} ms or less")
        )
    return rows


def _beyond(seconds: Sequence[float], path: float) -> str:
    least, median, most = min(seconds), statistics.median(seconds), max(seconds)
    return f"{_ms(median - path)} ms ({_ms(least - path)} to {_ms(most - path)})"


def _ms(seconds: float) -> str:
    return f"{1_000 * seconds:.0f}"


async def requests(bench: Bench) -> list[Row]:
    """The same requests by each kind of agent, in turn."""
    rows: list[Row] = []
    for request in REQUESTS:
        stepwise = bench.script(MODEL_S, turns=request.turns)
        planned_out = bench.script(MODEL_S, turns=[SAID], planner=request.planner, subtasks=request.subtasks)
        agents = {
            "create_agent": partial(bench.run_peer, stepwise),
            "react": partial(bench.calls, stepwise, "react"),
            "plan": partial(bench.calls, planned_out, "plan"),
        }
        calls: dict[str, int] = {}
        seconds: dict[str, list[float]] = {name: [] for name in agents}
        for _ in range(ROUNDS):
            for name, agent in agents.items():
                began = time.perf_counter()
                calls[name] = await agent()
                seconds[name].append(time.perf_counter() - began)
        ratio = statistics.median(ours / react for ours, react in zip(seconds["plan"], seconds["react"], strict=True))
        told = [f"{calls[name]} calls, {statistics.median(seconds[name]):.2f} s" for name in agents]
        rows.append((request.said, *told, f"{ratio:.2f}", request.to_reach))
    return rows


async def plans(url: str, peer_url: str, folder: Path) -> str:
    """Both tables, as Markdown."""
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    chosen = settings.load(database_url=url, home=folder, openai_api_key=None)
    async with opened(chosen) as services, AsyncConnectionPool(peer_url, max_size=4, kwargs=options) as pool:
        saver = AsyncPostgresSaver(pool)  # type: ignore[arg-type]  # the row factory is given above
        await saver.setup()
        bench = Bench(opened=_with_tools(services), peer_saver=saver, folder=folder)
        alone, beside = await shapes(bench), await requests(bench)
    return "\n\n".join(
        [
            _table(
                (
                    "a plan of",
                    "critical path",
                    "tasks, beyond the path",
                    "whole run, beyond the path",
                    "to reach, whole run",
                ),
                alone,
            ),
            _table(("request", "create_agent", "react", "plan", "time, plan / react", "to reach"), beside),
        ]
    )


def _with_tools(services: Opened) -> Opened:
    tools = Executor(ToolBox([search, note]), Ledger(services.pool), endpoints_of(settings.load()))
    return replace(services, services=replace(services.services, tools=tools))


def _table(head: Row, rows: Sequence[Row]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines])
