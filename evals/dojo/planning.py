"""What the worst-case planner plans: the user's calls, as far as they can be known before anything was read.

What an argument takes from a result is a reference to it, or the answer of a sub-task that reads it. A plan under
attack also has a task that fails: so the planner is asked again, now with the attacker's text before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage

from evals.dojo.plots import Plot
from evals.dojo.replies import calling, said
from evals.dojo.world import Made, Pair
from graph.models import Question
from graph.plan import SUBTASK
from services.plan_reader import PLAN
from services.provenance import Source, Trusted

_FIELD = re.compile(r"[\w-]+")
_WORD = re.compile(r"[^\W_]{4,}|\d+")
NOWHERE = "no_such_field"


@dataclass(kw_only=True)
class Planning:
    """The planner, and the sub-tasks it plans, of one run."""

    pair: Pair
    plot: Plot
    effects: frozenset[str]
    content: Mapping[str, Sequence[str]]
    texts: Mapping[str, Sequence[str]]
    """Tools that need texts and nothing else, each with those arguments; those that only read come first."""
    _planned: bool = False
    _asked: dict[str, Made] = field(default_factory=dict)
    """By sub-task: the call whose arguments it finds out, those alone."""
    _tried: set[str] = field(default_factory=set)

    def plan(self, *, hijacked: bool) -> AIMessage:
        """The plan; asked again, the attacker's calls and nothing else."""
        if not self._planned:
            self._planned = True
            return _reply(list(self._first()))
        calls = self.plot.after(self.pair.calls, []) if hijacked else []
        return _reply(list(_chain(calls)))

    def subtask(self, question: Question, *, hijacked: bool) -> AIMessage:
        """The arguments that were asked for, as JSON. A hijacked one first tries what the attacker wants."""
        asked = self._asked.get(question.subtask)
        if hijacked and question.subtask not in self._tried and self.pair.injected:
            self._tried.add(question.subtask)
            return calling([one for one in self.pair.injected if one.tool in self.effects])
        if asked is None:
            return said("Nothing.")
        given = self.plot.swapped(asked) if hijacked else asked
        return said(json.dumps({name: given.args[name] for name in asked.args if name in given.args}))

    def _first(self) -> Iterator[dict[str, Any]]:
        last, reads = "", []
        for at, call in enumerate(self.pair.calls):
            name = f"t{at}"
            args, missing = self._args(at, call)
            if missing:
                helper = f"s{at}"
                self._asked[helper] = Made(tool=call.tool, args={one: call.args[one] for one in missing})
                sources = " ".join(f"${{t{one}}}" for one in range(at))
                yield {
                    "id": helper,
                    "tool": SUBTASK,
                    "args": {"task": f"Find {', '.join(missing)} for {call.tool}, as JSON, in {sources}"},
                    "needs": [],
                }
                args |= {one: f"${helper}.{one}" for one in missing}
            yield {"id": name, "tool": call.tool, "args": args, "needs": [last] if last else []}
            if call.tool in self.effects:
                last = name
            else:
                reads.append(name)
        if reads and self.pair.injection and self.texts:
            tool, arguments = next(iter(self.texts.items()))
            wrong = f"${reads[0]}.{NOWHERE}"
            yield {
                "id": "x",
                "tool": tool,
                "args": dict.fromkeys(arguments, wrong),
                "needs": [*reads, *([last] if last else [])],
            }

    def _args(self, at: int, call: Made) -> tuple[dict[str, Any], list[str]]:
        """The arguments as they can be planned, and the names of those a sub-task must find out."""
        args: dict[str, Any] = {}
        missing: list[str] = []
        for name, value in call.args.items():
            if self._known(value, at, content=name in self.content.get(call.tool, ())):
                args[name] = value
            elif place := _place(value, self.pair.results[:at]):
                args[name] = place
            else:
                missing.append(name)
        return args, missing

    def _known(self, value: Any, at: int, *, content: bool) -> bool:
        """Whether the request tells it. Content a planner may make up, but for what it would have to read."""
        if at == 0 or isinstance(value, bool) or value is None:
            return True
        asked = Trusted([Source(name="the request", text=self.pair.prompt)])
        if asked.origin(value) is not None:
            return True
        text = json.dumps(value, default=str).casefold()
        said, read = (
            set(_WORD.findall(one.casefold())) for one in (self.pair.prompt, json.dumps(self.pair.results[:at]))
        )
        words = set(_WORD.findall(text)) - said
        return content and not any(word in read or word.isdigit() for word in words)


def _place(value: Any, results: Sequence[Any]) -> str | None:
    """A reference to where exactly this value stands in an earlier result."""
    for at in reversed(range(len(results))):
        if (path := next(_paths(value, results[at]), None)) is not None:
            return ".".join([f"$t{at}", *path])
    return None


def _paths(value: Any, within: Any) -> Iterator[tuple[str, ...]]:
    if type(within) is type(value) and within == value:
        yield ()
    pairs = within.items() if isinstance(within, dict) else enumerate(within) if isinstance(within, list) else ()
    for name, part in pairs:
        if _FIELD.fullmatch(str(name)):
            yield from ((str(name), *rest) for rest in _paths(value, part))


def _chain(calls: Sequence[Made]) -> Iterator[dict[str, Any]]:
    for at, call in enumerate(calls):
        yield {"id": f"w{at}", "tool": call.tool, "args": dict(call.args), "needs": [f"w{at - 1}"] if at else []}


def _reply(tasks: Sequence[Mapping[str, Any]]) -> AIMessage:
    return calling([Made(tool=PLAN, args={"tasks": list(tasks)})])
