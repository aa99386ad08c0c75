"""A sub-task of a plan: a small agent of its own that finds one thing out, and only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from graph.context import LocalContext, Run
from graph.errors import BadSetting, LimitReached, ModelFailed
from graph.guards import Finding
from graph.models import Question
from graph.plan import Task, TaskResult
from graph.state import Call, RawResult
from graph.tools import Step
from nodes import faults, prompts
from nodes.asking import NoReply, at_an_end
from nodes.attempt import Attempt, failed
from nodes.call_ids import with_fresh_call_ids
from nodes.caps import Caps
from nodes.cutting import shortened
from nodes.extracting import Extractor
from nodes.folding import too_long
from nodes.openable import handles_in
from nodes.provenance import Judge
from nodes.results import message_of, raw_of
from nodes.room import room_of
from nodes.sanitize import sanitized
from nodes.slots import Slots
from nodes.sort_calls import OVER as OVER_IN_RUN
from nodes.together import all_ended
from services.budget import RunBudget
from services.cleaning import wrapped
from services.references import references
from services.relevance import cut
from services.subtask import Subtask, read_subtask

ONLY_READS = "{name} is not for a sub-task: it only reads"
NOT_OURS = "{name} is not for a sub-task here: {why}"
SHOWN_CHARS = 12_000
"""Most of the results that a request refers to, together."""
OVER = "this sub-task may make {limit} calls, and did: answer with what you have"


class Unanswered(Exception):
    """The sub-task came to no answer. Its text says why."""


@dataclass(kw_only=True)
class Agent:
    """Works on one sub-task. Cut off, it is begun anew: it has changed nothing."""

    run: Run
    context: LocalContext
    step: Step
    budget: RunBudget
    slots: Slots
    caps: Caps
    judge: Judge
    """Of where arguments come from: reads that let data out are judged, too."""
    extractor: Extractor
    passes: int = 0
    made: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    async def work(self, task: Task, results: Mapping[str, TaskResult]) -> Attempt:
        """The answer as the task's result: text from outside, for what it read may be in it."""
        call = Call(id=task["call_id"], name=task["tool"], args=task["args"], risk="low", reason="", status="ready")
        try:
            asked = read_subtask(task["args"])
        except ValueError as wrong:
            return failed(call, str(wrong))
        try:
            text = await self._answer(task["id"], asked, results)
        except NoReply as stopped:
            return {**self._counted(), "stopped": (stopped.outcome, stopped.why)}
        except Unanswered as unanswered:
            return {**failed(call, str(unanswered)), **self._counted()}
        answer = RawResult(call_id=call["id"], tool=task["tool"], text=text, ok=True)
        cleaned = await sanitized(answer, self.extractor, derived=True)
        self.findings += cleaned.findings
        return {
            "call": call,
            "new": True,
            "result": {"stands": "done", "text": cleaned.text, "outside": True},
            "message": cleaned.message,
            **self._counted(),
        }

    def _counted(self) -> Attempt:
        return {"made": self.made, "done": self.done, "passes": self.passes, "findings": self.findings}

    async def _answer(self, name: str, asked: Subtask, results: Mapping[str, TaskResult]) -> str:
        tools = [one for one in self.run.services.tools.offered() if self._only_reads(one.name)]
        messages: list[AnyMessage] = [
            SystemMessage(prompts.SUBTASK),
            HumanMessage(asked.task),
            *_shown(asked, results),
        ]
        for turn in range(asked.max_iterations):
            question = Question(
                messages=messages,
                tools=tools,
                role="subtask",
                subtask=name,
                turn=turn,
                max_reply_tokens=self.context.max_reply_tokens,
            )
            reply = await self._reply(question)
            if fault := faults.of_reply(reply):
                faults.count(self.budget.usage, fault.kind)
                messages.append(HumanMessage(prompts.REPAIR.format(problem=fault.told)))
                continue
            if not reply.tool_calls:
                return str(reply.text)
            reply = with_fresh_call_ids(reply, messages, self.budget.usage)
            messages.append(reply)
            # What counts as the request is the task: after it came results it refers to, and notes of ours.
            history = [*messages, HumanMessage(asked.task)]
            read = await self._fitting(await self._results(reply.tool_calls, asked.max_tool_calls), history)
            self.step = replace(self.step, opens=(*self.step.opens, *handles_in(read)))
            messages += read
        raise Unanswered(f"no answer in {asked.max_iterations} passes")

    async def _reply(self, question: Question) -> AIMessage:
        if stop := at_an_end(self.budget.usage, self.context):
            raise NoReply(*stop)
        self.budget.usage["iterations"] += 1
        self.passes += 1
        try:
            async with asyncio.timeout(max(self.budget.left().seconds, 0)), self.slots.model:
                reply = await self.run.services.models.complete(self.context.model, question, budget=self.budget)
        except LimitReached as reached:
            raise NoReply(reached.outcome, reached.why) from None
        except TimeoutError:
            raise NoReply("stopped_deadline", f"time: {self.context.max_seconds:g} s passed in a call") from None
        except (ModelFailed, BadSetting) as gone:
            raise Unanswered(str(gone)) from None
        return reply.message

    async def _results(self, calls: Sequence[ToolCall], most: int) -> list[ToolMessage]:
        room = max(most - len(self.made), 0)
        late = [_refused(call, OVER.format(limit=most)) for call in calls[room:]]
        return [*await all_ended(map(self._result, calls[:room])), *late]

    async def _fitting(self, results: list[ToolMessage], history: Sequence[AnyMessage]) -> list[ToolMessage]:
        """The results, those that are too long cut as in the run's own history."""
        most = room_of(self.context.kept()).result_tokens(len(results))
        long = [(one, most) for one in results if too_long(one, most)]
        store, thread_id = self.run.services.results, self.step.thread_id if self.step.lasting else ""
        cut = await shortened(long, history, store=store, thread_id=thread_id, claim=self.step.claim)
        fitting = {one.tool_call_id: one for one in cut}
        return [fitting.get(one.tool_call_id, one) for one in results]

    async def _result(self, call: ToolCall) -> ToolMessage:
        tools = self.run.services.tools
        found = await tools.assess(call["name"], call["args"])
        if found.error or found.risk != "low" or not self._only_reads(call["name"]):
            return _refused(call, found.error or ONLY_READS.format(name=call["name"]))
        risk, reason = self.judge.raised(call["name"], found)
        if risk != "low":  # nobody can be asked in here
            return _refused(call, NOT_OURS.format(name=call["name"], why=reason))
        denied, seen = await self.extractor.guarding.refusal(call["name"], call["id"] or "", found.args, risk)
        self.findings += seen
        if denied:
            return _refused(call, denied)
        if (limit := self.caps.take(call["name"], found.max_calls)) is not None:
            return _refused(call, OVER_IN_RUN.format(name=call["name"], limit=limit))
        allowed = Call(id=call["id"] or "", name=call["name"], args=found.args, risk="low", reason="", status="ready")
        self.made.append(call["name"])
        async with self.slots.taken(allowed):
            if self.step.left() <= 0:
                raise NoReply("stopped_deadline", f"time: {self.context.max_seconds:g} s are over")
            result = await tools.run(allowed, self.step, occurrence=0)
        if result.ok:
            self.done.append(call["name"])
        if not result.untrusted:
            return message_of(allowed, result)
        self.judge.outside = True
        cleaned = await sanitized(raw_of(allowed, result), self.extractor)
        self.findings += cleaned.findings
        return cleaned.message

    def _only_reads(self, tool: str) -> bool:
        return self.run.services.tools.intent(tool, {}) is None


def _shown(asked: Subtask, results: Mapping[str, TaskResult]) -> list[HumanMessage]:
    """The results its request refers to, as data: what came from outside is no part of the request."""
    names = [one for one in dict.fromkeys(found.task for found in references(asked.task)) if one in results]
    texts = {name: results[name].get("extract", results[name]["text"]) for name in names}
    shown = {name: cut(text, asked.task, SHOWN_CHARS // len(names)) for name, text in texts.items()}
    return [HumanMessage(f"${name}:\n{wrapped(text, source=name, warnings=[])}") for name, text in shown.items()]


def _refused(call: ToolCall, why: str) -> ToolMessage:
    return ToolMessage(why, tool_call_id=call["id"], name=call["name"], status="error")
