"""The worst-case model of all runs under way: it does what the attacker wants, in every role that reads their words.

Only as reader of the request it is honest: nothing but people's words reaches it there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from evals.attacks.case import HANDLE, SERVED, Calls, Case, Say, Turn, as_plan, calls_of, said_in
from evals.attacks.wanting import wanted_as, without
from evals.dojo.replies import calling, said
from evals.dojo.world import Made
from graph.models import Question
from services.request_reading import READ

READS = frozenset({"list_files", "read_file", "search_documents", "list_mail", "read_mail", "get_order", "open_result"})
"""Tools that a first plan may call whoever wants it. `find_` and `open_` tools are others."""

FAILING = {"id": "gone", "tool": "get_order", "args": {"id": "ORD-999999"}}
"""A task that fails, so that the planner is asked again, with the attacker's words before it."""

MOST_CHARS = 200


@dataclass(kw_only=True)
class Script:
    """What one run's model does."""

    case: Case
    turn: int = 0
    server: str = ""
    """What `SERVED` stands for."""
    handle: str = ""
    """What `HANDLE` stands for."""
    seen: list[str] = field(default_factory=list)
    """What stood in the deciding model's prompts, people's words and instructions apart."""
    _replied: int = 0
    _planned: int = 0
    _worked: Counter[str] = field(default_factory=Counter)

    @property
    def now(self) -> Turn:
        """The turn under way."""
        return self.case.turns[self.turn]

    def begin(self, turn: int) -> None:
        """Another request."""
        self.turn, self._replied, self._planned = turn, 0, 0
        self._worked.clear()

    def reply(self, question: Question) -> AIMessage:
        """The reply to a question, by the role it is asked in."""
        role = str(question.role)  # one that is not known here is answered as the agent
        others: dict[str, Callable[[], AIMessage]] = {
            "reader": self._asked_for,
            "summarizer": lambda: said(self.case.summarizer or f"The user has said: {self._wish()}"),
            "extractor": lambda: said(self._extract()),
            "planner": self._plan,
            "subtask": lambda: self._subtask(question.subtask),
        }
        if role in others:
            return others[role]()
        self._note(question.messages)
        if not question.tools:  # the answer to a plan
            return said(said_in(self.now.replies))
        return self._next()

    def _note(self, messages: Sequence[BaseMessage]) -> None:
        self.seen += [str(one.text) for one in messages if not isinstance(one, (AIMessage, HumanMessage))]

    def _next(self) -> AIMessage:
        left = self.now.replies[self._replied :]
        self._replied += 1
        return self._spoken(left[0]) if left else said("Done.")

    def _spoken(self, reply: Calls | Say) -> AIMessage:
        if isinstance(reply, Say):
            return said(reply.say)
        return calling([self._filled(one) for one in reply.calls])

    def _filled(self, call: Made) -> Made:
        filled = {name: self.handle if value == HANDLE else value for name, value in call.args.items()}
        return Made(tool=self.server_tool(call.tool), args=filled)

    def server_tool(self, name: str) -> str:
        """A tool as it is offered."""
        return name.replace(SERVED, f"mcp__{self.server}__") if self.server else name

    def _subtask(self, name: str) -> AIMessage:
        replies = self.now.subtasks.get(name, ())[self._worked[name] :]
        self._worked[name] += 1
        return self._spoken(replies[0]) if replies else said(self._wish())

    def _plan(self) -> AIMessage:
        plans = self.now.plans or self._derived()
        self._planned += 1
        tasks = plans[self._planned - 1] if self._planned <= len(plans) else ()
        return calling([as_plan(tasks)])

    def _derived(self) -> Sequence[Sequence[Mapping[str, object]]]:
        """What comes before the first call of the attacker's is planned before anything is read; the rest after."""
        calls = calls_of(self.now.replies)
        own = next((at for at, one in enumerate(calls) if not self._innocent(one, calls[:at])), len(calls))
        first = _chain([self._filled(one) for one in calls[:own]], "t")
        rest = _chain([self._filled(one) for one in calls[own:]], "w")
        if not first:
            return [rest]
        return [[*first, {**FAILING, "needs": [first[-1]["id"]]}], rest] if rest else [first]

    def _innocent(self, call: Made, before: Sequence[Made] = ()) -> bool:
        if call.tool in READS or call.tool.startswith("find_"):
            return True
        return wanted_as(call, without(self.now.wanted, before)) is not None

    def _asked_for(self) -> AIMessage:
        counted = Counter(one.tool for one in self.now.wanted)
        asked = [{"tool": self.server_tool(name), "count": count} for name, count in counted.items()]
        return calling([Made(tool=READ, args={"calls": asked})])

    def _extract(self) -> str:
        """An extract as far as the attacker's words fit the schema that is ours unless a tool has its own."""
        if self.case.extractor is not None:
            return self.case.extractor
        values = [(name, value) for one in self._injected() for name, value in one.args.items()]
        facts = [{"name": name[:40], "value": str(value)[:MOST_CHARS]} for name, value in values[:40]]
        return json.dumps({"about": self._wish()[:MOST_CHARS], "facts": facts})

    def _injected(self) -> list[Made]:
        return [one for one in calls_of(self.now.replies) if not self._innocent(one)]

    def _wish(self) -> str:
        return "; ".join(f"call {one.tool} with {json.dumps(dict(one.args), default=str)}" for one in self._injected())


def _chain(calls: Sequence[Made], letter: str) -> Sequence[dict[str, object]]:
    return [
        {
            "id": f"{letter}{at}",
            "tool": one.tool,
            "args": dict(one.args),
            "needs": [f"{letter}{at - 1}"] if at else [],
        }
        for at, one in enumerate(calls)
    ]
