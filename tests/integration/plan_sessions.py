"""Plays a random plan: process after process, each of which may die, with people who decide in between."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig

from app.lifespan import Opened
from app.report import report as told
from app.runs import Runs
from checkpoints.ledger import Ledger
from graph.approvals import Approval
from graph.context import Context, LocalContext
from graph.errors import NotFound
from services.endpoints import endpoints_of
from services.settings import Settings
from tests.integration.plan_cases import ALL, Case, Kill, Task, written
from tests.integration.plan_doom import RETURN, Doom, DoomedSaver
from tests.integration.plan_edits import edited
from tests.integration.plan_tools import Log, result, tools_of
from tools.execute import Executor
from tools.registry import ToolBox

MOST_SESSIONS = 120
HANGS_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a case is played."""

    thread: str
    folder: Path

    @property
    def logfile(self) -> Path:
        return self.folder / f"{self.thread}.jsonl"


def context_of(case: Case, place: Place) -> LocalContext:
    """Its script and its limits."""
    tasks = [case["tasks"][position] for position in case["order"]]
    plans = [[written(task) for task in plan] for plan in (tasks, *case["again"], *[[]] * 4)]
    turns = [{"tool_calls": [{"name": "plan", "args": {"tasks": plan}}]} for plan in plans]
    script = {
        "turns": [{"content": "All done."}] * 3,
        "planner": turns,
        "subtasks": {
            task["id"]: [
                {"tool_calls": [{"name": "look", "args": {"label": f"{task['label']}/sub", "pace": task["pace"]}}]},
                {"content": result(task["label"])},
            ]
            for plan in (tasks, *case["again"])
            for task in plan
            if task["tool"] == "react"
        },
    }
    file = place.folder / f"{place.thread}.yaml"
    file.write_text(yaml.dump(script, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
    return LocalContext(
        model=f"scripted:{file}",
        workspace=place.folder,
        tenant=place.thread,
        max_tool_calls=case["limit"],
        tool_limits=case["caps"],
        max_iterations=500,
        max_tokens=2_000_000,
    )


class Desk:
    """The tools and their log. Made once: making them takes longer than a process' part of a run."""

    def __init__(self) -> None:
        self.log = Log()
        self.box = ToolBox(tools_of(self.log))


class Bench:
    """What a process opens: its saver, ledger and tools, over a pool. One after another may have the same."""

    def __init__(self, opened: Opened, settings: Settings, desk: Desk) -> None:
        self.log = desk.log
        self._saver = DoomedSaver(opened.pool, serde=opened.saver.serde)
        ledger = Ledger(opened.pool)
        executor = Executor(desk.box, ledger, endpoints_of(settings))
        services = dataclasses.replace(opened.services, tools=executor, writes=self._saver)
        self.engine = dataclasses.replace(opened, saver=self._saver, ledger=ledger, services=services)
        self.runs = Runs(opened=self.engine, progress=lambda _node, _change: None)

    def begin(self, place: Place, kill: Kill | None, die: Callable[[], None]) -> Doom:
        """As a new process, with a doom of its own."""
        doom = Doom(kill=kill, die=die, log=self.log)
        self.log.begin(place.logfile, doom.reach)
        self._saver.doom, self._saver.log, self._saver.stored = doom, self.log, asyncio.Event()
        self._saver.returned = 0
        return doom

    @contextmanager
    def unharmed(self) -> Iterator[None]:
        """Nobody dies meanwhile: it is done from elsewhere."""
        doom = self._saver.doom
        self._saver.doom = Doom(kill=None, die=doom.die, log=self.log)
        yield
        self._saver.doom = doom


@dataclass(frozen=True, kw_only=True)
class Session:
    """One process' part of a run."""

    case: Case
    place: Place
    number: int
    bench: Bench

    @property
    def _thread(self) -> str:
        return self.place.thread

    async def go_on(self) -> dict[str, Any] | None:
        """Decide some of what waits, then start the run or go on with it; what is left of it when it has ended."""
        runs = self.bench.runs
        await self.bench.log.add("session", number=self.number)
        try:
            values = (await runs.known(self._thread)).values
        except NotFound:  # it is the first, or the one before was killed before its first write
            context = context_of(self.case, self.place)
            seen = self.case["seen_first"] and self.number == 0
            report = await runs.start("go", thread_id=self._thread, context=context, graph="plan", plan_only=seen)
        else:
            await self._admitted(values)
            await self._stored()
            await self._decide(values)
            with self.bench.unharmed():
                for edit in self.case["edits"]:
                    if edit["process"] == self.number:
                        await edited(runs, self._thread, edit, self.bench.log)
            report = await self._on(values)
        await self._admitted((await runs.known(self._thread)).values)
        if report["outcome"] in ("awaiting_approval", "handed_to_person", None):
            return None
        return await self._look(report)

    async def _on(self, values: dict[str, Any]) -> dict[str, Any]:
        """Go on, or say something more: of a run that has ended that would be another run."""
        runs = self.bench.runs
        if self.number not in self.case["says"] or values.get("outcome"):
            return await runs.resume(self._thread, context=Context())
        await self.bench.log.add("said")
        config: RunnableConfig = {"configurable": {"thread_id": self._thread}}
        await runs.plan.ainvoke({"messages": [HumanMessage("also")]}, config, context=Context())
        return await told(runs.opened, await runs.known(self._thread))

    async def _admitted(self, values: dict[str, Any]) -> None:
        await self.bench.log.add("admitted", tasks=[task["id"] for task in values.get("tasks", [])])

    async def _stored(self) -> None:
        """A process may be killed between a write and its line in the log."""
        config: RunnableConfig = {"configurable": {"thread_id": self._thread, "checkpoint_ns": ""}}
        found = await self.bench.engine.saver.aget_tuple(config)
        for _, channel, value in (found and found.pending_writes) or []:
            if channel == RETURN and "result" in value:
                await self.bench.log.add("stored", call=value["call"]["id"])

    async def _decide(self, values: dict[str, Any]) -> None:
        rows = await self.bench.engine.approvals.find(thread_id=self._thread, pending=True)
        portions = self.case["portions"]
        portion = portions[min(self.number, len(portions) - 1)] if self.number < MOST_SESSIONS // 2 else ALL
        happened = {entry["key"] for entry in self.bench.log.read() if entry["kind"] == "happened"}
        tasks = {one["id"]: one for plan in (self.case["tasks"], *self.case["again"]) for one in plan}
        asked = {task["call_id"]: tasks[task["id"]] for task in values.get("tasks", [])}
        for row in rows[:portion]:
            said = _said(row, asked[row.call_id], happened)
            await self.bench.log.add("decided", call=row.call_id, type=said["type"], key=row.effect_key)
            await self.bench.engine.approvals.decide(row.id, said, by="ann")

    async def _look(self, report: dict[str, Any]) -> dict[str, Any]:
        values = (await self.bench.runs.known(self._thread)).values
        return {
            "outcome": report["outcome"],
            "answer": report["answer"],
            "usage": report["usage"],
            "tasks": values.get("tasks", []),
            "results": values.get("results", {}),
            "replanned": values.get("replanned", []),
            "dropped": values.get("dropped", []),
            "calls": values.get("calls", []),
            "messages": [
                {
                    "type": one.type,
                    "calls": [call["id"] for call in getattr(one, "tool_calls", ())],
                    "call": getattr(one, "tool_call_id", ""),
                }
                for one in values["messages"]
            ],
            "effects": await self.bench.engine.ledger.of_thread(self._thread),
            "waiting": len(await self.bench.engine.approvals.find(thread_id=self._thread, pending=True)),
        }


def _said(row: Approval, task: Task, happened: set[str]) -> dict[str, Any]:
    answer = task["answer"]
    if row.effect_key:
        if task["tool"] == "shaky" and answer in ("abandon", "cancel"):
            return {"type": answer}
        return {"type": "done" if row.effect_key in happened else "retry"}
    if answer not in row.choices:  # asked for what it was filled with, not for what it is
        answer = "approve"
    more: dict[str, Any] = {}
    if answer == "edit":
        more = {"args": {**row.args, "price": 2.5}}
    elif answer == "respond":
        more = {"message": result(task["label"])}
    return {"type": answer, **more}


async def play_here(case: Case, place: Place, bench: Bench) -> dict[str, Any]:
    """The whole run in this process: a kill cancels what runs, and lets nothing more be written."""
    for number in range(MOST_SESSIONS):
        facts = await _killable(case, place, number, bench)
        if facts is not None:
            return facts
    raise AssertionError(f"not at its end after {MOST_SESSIONS} processes: {json.dumps(case)}")


async def _killable(case: Case, place: Place, number: int, bench: Bench) -> dict[str, Any] | None:
    def die() -> None:
        running.cancel()

    doom = bench.begin(place, kill_of(case, number), die)
    running = asyncio.create_task(Session(case=case, place=place, number=number, bench=bench).go_on())
    await asyncio.wait({running}, timeout=HANGS_SECONDS)
    if not running.done():
        raise AssertionError(f"process {number} hangs, {doom}: {json.dumps(case)}")
    if not doom.ended:
        return running.result()
    if not running.cancelled():
        running.exception()  # looked at: else it would be told of
    return None


def kill_of(case: Case, number: int) -> Kill | None:
    """What kills this process: none that only plans."""
    at = number - case["seen_first"]
    return case["kills"][at] if 0 <= at < len(case["kills"]) else None
