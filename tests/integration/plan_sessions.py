"""Plays a random plan: process after process, each of which may die, with people who decide in between."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from langchain_core.runnables import RunnableConfig

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.ledger import Ledger
from checkpoints.saver import PostgresSaver
from graph.approvals import Approval
from graph.context import Context, LocalContext
from graph.errors import NotFound
from services.endpoints import endpoints_of
from services.settings import Settings
from tests.integration.plan_cases import ALL, Case, Kill, Task, written
from tests.integration.plan_tools import Log, result, tools_of
from tools.execute import Executor
from tools.registry import ToolBox

LATE_SECONDS = 0.05
"""How long a write that hangs waits for another one to overtake it. There may be none."""
MOST_SESSIONS = 120
HANGS_SECONDS = 8.0
IN_TOOLS = frozenset({"begin", "happened", "end"})
RETURN = "__return__"
"""LangGraph's channel for what a task gave."""


@dataclass(kw_only=True)
class Doom:
    """When a process dies, and how."""

    kill: Kill | None
    die: Callable[[], None]
    dead: bool = False
    reached: Counter[str] = field(default_factory=Counter)

    async def reach(self, kind: str) -> None:
        """Die if it is time. What goes on in a dead process, until it is cancelled, does nothing more."""
        if not self.dead:
            self.reached[kind] += 1
            if self.comes_at(kind):
                self.now()
        if self.dead and kind in IN_TOOLS:  # an error would be an end of the call, and recorded
            await asyncio.Event().wait()
        if self.dead:
            raise RuntimeError("a dead process does not write")

    def comes_at(self, kind: str) -> bool:
        """Whether it is time."""
        return self.kill is not None and self.kill["on"] == kind and self.reached[kind] == self.kill["nth"]

    def now(self) -> None:
        """Die. A process returns from it only to be cancelled."""
        self.dead = True
        self.die()


class DoomedSaver(PostgresSaver):
    """Tells of each write before it is made, and logs each task that is stored. A dead one writes nothing."""

    doom: Doom
    log: Log
    stored: asyncio.Event

    async def aput(self, *given: Any, **named: Any) -> RunnableConfig:
        await self.doom.reach("write")
        return await super().aput(*given, **named)

    async def aput_writes(self, config: RunnableConfig, writes: Any, task_id: str, task_path: str = "") -> None:
        await self.doom.reach("write")
        attempt = next((value for channel, value in writes if channel == RETURN), {})
        if "result" in attempt:
            await self._overtaken()
        await super().aput_writes(config, writes, task_id, task_path)
        if "result" in attempt:
            await self.log.add("stored", call=attempt["call"]["id"])
            self.stored.set()

    async def _overtaken(self) -> None:
        """Where it is time for it: hang until another task is stored, and die."""
        late = self.doom.kill is not None and self.doom.kill["on"] == "late"
        if late and self.doom.reached["late"] + 1 == self.doom.kill["nth"]:
            self.stored.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LATE_SECONDS):
                    await self.stored.wait()
        await self.doom.reach("late")


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
    plans = [[written(task) for task in plan] for plan in (tasks, *case["again"], [], [])]
    turns = [{"tool_calls": [{"name": "plan", "args": {"tasks": plan}}]} for plan in plans]
    script = {
        "turns": [{"content": "All done."}],
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


def engine_of(opened: Opened, settings: Settings, log: Log, doom: Doom) -> Opened:
    """What a process of its own would have opened: its own saver, ledger and tools, over this pool."""
    saver, ledger = DoomedSaver(opened.pool, serde=opened.saver.serde), Ledger(opened.pool)
    saver.doom, saver.log, saver.stored = doom, log, asyncio.Event()
    executor = Executor(ToolBox(tools_of(log)), ledger, endpoints_of(settings))
    services = dataclasses.replace(opened.services, tools=executor)
    return dataclasses.replace(opened, saver=saver, ledger=ledger, services=services)


@dataclass(frozen=True, kw_only=True)
class Session:
    """One process' part of a run."""

    case: Case
    place: Place
    number: int
    engine: Opened
    log: Log

    @property
    def _thread(self) -> str:
        return self.place.thread

    async def go_on(self) -> dict[str, Any] | None:
        """Decide some of what waits, then start the run or go on with it; what is left of it when it has ended."""
        runs = Runs(opened=self.engine, progress=lambda _node, _change: None)
        await self.log.add("session", number=self.number)
        try:
            values = (await runs.known(self._thread)).values
        except NotFound:  # it is the first, or the one before was killed before its first write
            context = context_of(self.case, self.place)
            report = await runs.start("go", thread_id=self._thread, context=context, graph="plan")
        else:
            await self._admitted(values)
            await self._decide(values)
            report = await runs.resume(self._thread, context=Context())
        await self._admitted((await runs.known(self._thread)).values)
        if report["outcome"] in ("awaiting_approval", "handed_to_person"):
            return None
        return await self._look(runs, report)

    async def _admitted(self, values: dict[str, Any]) -> None:
        await self.log.add("admitted", tasks=[task["id"] for task in values.get("tasks", [])])

    async def _decide(self, values: dict[str, Any]) -> None:
        rows = await self.engine.approvals.find(thread_id=self._thread, pending=True)
        portions = self.case["portions"]
        portion = portions[min(self.number, len(portions) - 1)] if self.number < MOST_SESSIONS // 2 else ALL
        happened = {entry["key"] for entry in self.log.read() if entry["kind"] == "happened"}
        tasks = {one["id"]: one for plan in (self.case["tasks"], *self.case["again"]) for one in plan}
        asked = {task["call_id"]: tasks[task["id"]] for task in values["tasks"]}
        for row in rows[:portion]:
            said = _said(row, asked[row.call_id], happened)
            await self.log.add("decided", call=row.call_id, type=said["type"], key=row.effect_key)
            await self.engine.approvals.decide(row.id, said, by="ann")

    async def _look(self, runs: Runs, report: dict[str, Any]) -> dict[str, Any]:
        values = (await runs.known(self._thread)).values
        return {
            "outcome": report["outcome"],
            "answer": report["answer"],
            "usage": report["usage"],
            "tasks": values.get("tasks", []),
            "results": values.get("results", {}),
            "replanned": values.get("replanned", []),
            "calls": values.get("calls", []),
            "messages": [
                {
                    "type": one.type,
                    "calls": [call["id"] for call in getattr(one, "tool_calls", ())],
                    "call": getattr(one, "tool_call_id", ""),
                }
                for one in values["messages"]
            ],
            "effects": await self.engine.ledger.of_thread(self._thread),
            "waiting": len(await self.engine.approvals.find(thread_id=self._thread, pending=True)),
        }


def _said(row: Approval, task: Task, happened: set[str]) -> dict[str, Any]:
    answer = task["answer"]
    if row.effect_key:
        if task["tool"] == "shaky" and answer in ("abandon", "cancel"):
            return {"type": answer}
        return {"type": "done" if row.effect_key in happened else "retry"}
    more: dict[str, Any] = {}
    if answer == "edit":
        more = {"args": {**row.args, "price": 2.5}}
    elif answer == "respond":
        more = {"message": result(task["label"])}
    return {"type": answer, **more}


async def play_here(case: Case, place: Place, opened: Opened, settings: Settings) -> dict[str, Any]:
    """The whole run in this process: a kill cancels what runs, and lets nothing more be written."""
    for number in range(MOST_SESSIONS):
        facts = await _killable(case, place, number, opened, settings)
        if facts is not None:
            return facts
    raise AssertionError(f"not at its end after {MOST_SESSIONS} processes: {json.dumps(case)}")


async def _killable(
    case: Case, place: Place, number: int, opened: Opened, settings: Settings
) -> dict[str, Any] | None:
    def die() -> None:
        running.cancel()

    doom = Doom(kill=kill_of(case, number), die=die)
    log = Log(place.logfile, doom.reach)
    engine = engine_of(opened, settings, log, doom)
    session = Session(case=case, place=place, number=number, engine=engine, log=log)
    running = asyncio.create_task(session.go_on())
    await asyncio.wait({running}, timeout=HANGS_SECONDS)
    if not running.done():
        hanging = [_chain(one) for one in asyncio.all_tasks()]
        raise AssertionError(f"hangs, {doom.dead=} in {hanging}: {json.dumps(case)}")
    [ended] = await asyncio.gather(running, return_exceptions=True)
    if doom.dead:
        return None
    if isinstance(ended, BaseException):
        raise ended
    return ended


def kill_of(case: Case, number: int) -> Kill | None:
    """What kills this process."""
    return case["kills"][number] if number < len(case["kills"]) else None


def _chain(task: Any) -> str:
    lines, coro = [], task.get_coro()
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "ag_frame", None) or getattr(coro, "gi_frame", None)
        lines.append(f"{frame.f_code.co_name}:{frame.f_lineno}" if frame else repr(coro)[:200])
        coro = getattr(coro, "cr_await", None) or getattr(coro, "ag_await", None) or getattr(coro, "gi_yieldfrom", None)
    return " > ".join(lines)
