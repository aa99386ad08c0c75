"""One pass over the tasks of a plan: each begins the moment what it needs is there."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from langgraph.func import task as durable_task

from graph.context import LocalContext, Run
from graph.plan import SUBTASK, Task, TaskResult
from graph.records import Watch
from graph.state import Call, Outcome
from graph.tools import Step, ToolResult
from nodes.attempt import Attempt, failed
from nodes.caps import Caps
from nodes.extracting import Extractor
from nodes.openable import handles_in
from nodes.provenance import Judge
from nodes.released import doubtful, run_released
from nodes.results import message_of, raw_of
from nodes.sanitize import sanitized
from nodes.slots import Slots
from nodes.sort_calls import OVER
from nodes.subtask import Agent
from nodes.together import all_ended
from services.budget import RunBudget
from services.references import Missing, Results, references


@dataclass(kw_only=True)
class Flight:
    """Runs tasks side by side, within the slots of the run; equal effects in turn, as `nodes/lines.py` says."""

    run: Run
    context: LocalContext
    step: Step
    budget: RunBudget
    results: dict[str, TaskResult]
    """Of the tasks that ended; grows."""
    released: dict[str, Call]
    """Calls a person or a deadline let go, by id."""
    held: dict[str, Call]
    """Calls that were let go and may not run any more: a person is asked again, by id."""
    faults: dict[str, str]
    """Why one of those can't run now, by id."""
    counts: dict[str, int]
    """How often each effect, by digest, was started on this branch before this pass."""
    doubted: set[str | None]
    """Effects that a person is asked about: an equal one waits; grows."""
    judge: Judge
    """Of where arguments come from; knows what this pass has read."""
    extractor: Extractor
    caps: Caps
    """On single tools, with the calls of the plan's own tasks set aside."""
    writes: Watch
    """Where what ended is stored."""
    stop: Callable[[Sequence[Task], int], tuple[Outcome, str] | None]
    """How the run ends when its limits leave no room for these tasks after so many calls of this pass."""
    _stopped: tuple[Outcome, str] | None = None
    _lines: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _begun: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Of each effect the occurrences of this pass. What was stored of them may be the later one alone."""
    _slots: Slots = field(init=False)
    _places: dict[str, int] = field(default_factory=dict)
    _ended: dict[str, asyncio.Future[Attempt]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._slots = Slots(self.run)

    async def run_all(self, tasks: Sequence[Task]) -> list[Attempt]:
        """What came of each, in this order.

        LangGraph stores each attempt as it ends, and knows it by its place in the order of these calls: executed
        again after a crash, the node calls the same tasks in the same order, and those that had ended give at once
        what they gave.
        """
        go = asyncio.Event()
        told = {task["id"]: asyncio.Event() for task in tasks}

        async def one(task: Task) -> Attempt:
            told[task["id"]].set()
            await go.wait()
            attempt = await self._attempt(task)
            self._take_in(task, attempt)
            return attempt

        stored: Any = durable_task(name="task")  # Any: its types know no closures, and give two kinds of futures
        begin = stored(one)
        self._places = {task["id"]: place for place, task in enumerate(tasks)}
        for task in tasks:
            future = begin(task)
            future.add_done_callback(lambda _, known=told[task["id"]]: known.set())
            self._ended[task["id"]] = future
        await asyncio.gather(*(known.wait() for known in told.values()))
        self._go_on_from([task for task in tasks if self._ended[task["id"]].done()], tasks)
        go.set()
        return await all_ended(self._ended.values())

    def _go_on_from(self, stored: Sequence[Task], tasks: Sequence[Task]) -> None:
        """What ended before a crash comes first: the others count on from it."""
        made: list[str] = []
        for task in stored:
            attempt = self._ended[task["id"]].result()
            self._take_in(task, attempt)
            self._count(task, attempt)
            self.budget.usage["iterations"] += attempt.get("passes", 0)
            self.held.pop(task["call_id"], None)
            made += attempt.get("made", [])
            if task["tool"] == SUBTASK:
                self.caps.taken.update(attempt.get("made", []))
        self.caps.made.update(made)
        ended = {task["id"] for task in stored}
        left = [task for task in tasks if task["id"] not in ended and task["call_id"] not in self.held]
        self._stopped = self.stop(left, len(made))
        self.doubted |= {self._digest(call) for call in self.held.values() if "effect_key" in call}

    def _count(self, task: Task, attempt: Attempt) -> None:
        """What was judged before a crash takes its place in the request's count again."""
        if task["tool"] == SUBTASK:
            for name in attempt.get("made", []):
                self.judge.began(name, {})
        elif "call" not in attempt or task["call_id"] in self.released or task["call_id"] in self.held:
            return  # there was none; or it is judged again, and counted
        elif "made" in attempt or "result" not in attempt:
            self.judge.began(task["tool"], attempt["call"]["args"])

    def _take_in(self, task: Task, attempt: Attempt) -> None:
        if "result" in attempt:
            self.results[task["id"]] = attempt["result"]
            self.judge.take_in(task, attempt["result"], attempt.get("origins", []))
        if "message" in attempt:  # what a task has read, a later one may open
            self.step = replace(self.step, opens=(*self.step.opens, *handles_in([attempt["message"]])))
        if digest := attempt.get("digest"):
            self._begun[digest].add(attempt["occurrence"])
            if "result" not in attempt:
                self.doubted.add(digest)

    async def _attempt(self, task: Task) -> Attempt:
        if call := self.held.get(task["call_id"]):
            return {"call": call}
        call = self.released.get(task["call_id"])
        if self._stopped:
            return {**({"call": call} if call else {}), "stopped": self._stopped}
        if not await self._inputs_done(task):
            return {}
        if call:
            return await self._run(call, outside=self._from_outside(task))
        return await (self._subtask(task) if task["tool"] == SUBTASK else self._new(task))

    async def _subtask(self, task: Task) -> Attempt:
        agent = Agent(
            run=self.run,
            context=self.context,
            step=self.step,
            budget=self.budget,
            slots=self._slots,
            caps=self.caps,
            judge=self.judge,
            extractor=self.extractor,
        )
        return await agent.work(task, self.results)

    async def _new(self, task: Task) -> Attempt:
        made = await self._made(task)
        if "result" in made or made["call"]["status"] == "ask":
            return made
        ran = await self._run(made["call"], new=True, outside=self._from_outside(task))
        return {"new": True, **ran, "findings": [*made["findings"], *ran.get("findings", [])]}

    def _from_outside(self, task: Task) -> bool:
        """Whether the task's arguments refer to what may hold words of someone outside."""
        return any(self.results[one.task].get("outside", False) for one in references(task["args"]))

    async def _inputs_done(self, task: Task) -> bool:
        """Whether all the task needs is there, once what of it runs in this pass has ended."""
        for need in task["needs"]:
            if self._places.get(need, self._places[task["id"]]) < self._places[task["id"]]:
                await self._ended[need]  # one behind it is not waited for: an edited state may have them in a circle
            if need not in self.results or self.results[need]["stands"] != "done":
                return False
        return True

    async def _made(self, task: Task) -> Attempt:
        """The task's call, what it refers to filled in."""
        call = Call(id=task["call_id"], name=task["tool"], args=task["args"], risk="low", reason="", status="ready")
        try:
            args = Results(texts={name: one["text"] for name, one in self.results.items()}).filled(task["args"])
        except Missing as missing:
            return failed(call, missing.why)
        found = await self.run.services.tools.assess(task["tool"], args)
        if found.error:
            return failed({**call, "args": args}, found.error)
        if (limit := self.caps.begin(task["tool"], found.max_calls)) is not None:
            return failed({**call, "args": args}, OVER.format(name=task["tool"], limit=limit))
        risk, reason = self.judge.raised(task["tool"], found, planned=task["args"] if task.get("unread") else None)
        call = {**call, "args": found.args, "risk": risk, "reason": reason}
        denied, seen = await self.extractor.guarding.refusal(call["name"], call["id"], found.args, risk)
        if denied:
            return {**failed(call, denied), "findings": seen}
        return {"call": {**call, "status": "ready" if risk == "low" else "ask"}, "new": True, "findings": seen}

    async def _run(self, call: Call, *, new: bool = False, outside: bool) -> Attempt:
        not_begun: Attempt = {} if new else {"call": call}
        digest = self._digest(call)
        async with self._in_turn(digest):
            if digest and digest in self.doubted:
                return not_begun
            async with self._slots.taken(call):
                if self.step.left() <= 0:
                    why = f"time: {self.context.max_seconds:g} s are over"
                    return {**not_begun, "stopped": ("stopped_deadline", why)}
                if digest:
                    # Its arguments may come from results that ended just now. Were those lost, they could be others
                    # when they are made again, and this effect would be another one.
                    await self.writes.landed()
                occurrence = self._occurrence(call, digest)
                fault, tools = self.faults.get(call["id"]), self.run.services.tools
                result = await run_released(call, fault, tools, self.step, occurrence=occurrence)
            attempt = await self._of(call, result, outside=outside)
            if "effect_key" not in call:  # one that was in doubt was counted when it was first made
                attempt["made"] = [call["name"]]
            if digest and ("effect_key" not in call or result.doubt):
                attempt |= {"digest": digest, "occurrence": occurrence}
                self._begun[digest].add(occurrence)
            if result.doubt:
                self.doubted.add(digest)
        return attempt

    def _digest(self, call: Call) -> str | None:
        return self.run.services.tools.intent(call["name"], call["args"])

    def _occurrence(self, call: Call, digest: str | None) -> int:
        """How often the call's effect ran before: the first number that is not taken."""
        if digest is None:
            return 0
        before = self.counts.get(digest, 0)
        if "effect_key" in call:  # it was counted when it was first made
            return before - 1
        return next(number for number in count(before) if number not in self._begun[digest])

    async def _of(self, call: Call, result: ToolResult, *, outside: bool) -> Attempt:
        if result.doubt:
            return {"call": await doubtful(call, result, self.run.services)}
        attempt: Attempt = {"call": call, "done": [call["name"]] if result.ok else []}
        if result.ok and (origins := list(self.judge.met(call, result.text))):
            attempt["origins"] = origins
        outside = outside or result.untrusted  # a tool may repeat what it was given
        if outside:
            cleaned = await sanitized(raw_of(call, result), self.extractor, derived=not result.untrusted)
            text, shown = cleaned.text, cleaned.shown
            attempt |= {"message": cleaned.message, "findings": cleaned.findings}
        else:
            text = result.text
            attempt["message"] = message_of(call, result)
        attempt["result"] = {"stands": "done" if result.ok else "failed", "text": text, "outside": outside}
        if outside and shown != text:
            attempt["result"]["extract"] = shown
        return attempt

    @asynccontextmanager
    async def _in_turn(self, digest: str | None) -> AsyncIterator[None]:
        if digest is None:
            yield
            return
        async with self._lines[digest]:
            yield
