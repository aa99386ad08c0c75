"""Whether the arguments of a call are shown to come from somebody we trust; what can't be shown asks a person.

Only once something from outside was read: before that nobody but the people of the thread could have had a say.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from langchain_core.messages import HumanMessage

from graph.context import Context
from graph.plan import Task, TaskResult
from graph.provenance import Origin, Wanted
from graph.state import RISKS, Call, Risk, State, request_id
from graph.tools import Assessment, Tools, Trust
from nodes import origins
from nodes.sources import outside_read, sources_of
from nodes.wanted import answered, nothing_more
from services import pointing
from services.provenance import Bound, Source, Trusted, of_all

SHOWN_CHARS = 60
"""Of a value that a reason names."""

ID_FIELDS = ("id", "id_", "key", "number")
"""Fields that name a record by themselves; others that do end in _id."""

NOT_WANTED = "the request asks for no {tool}"
REJECTED = "a call of this turn was rejected, and something tries another one"
ANSWERED = "nobody has asked for anything since the last run ended"
AGAIN = "just this {tool} ran already"
ONCE_MORE = "the request asks for {count} {tool}, and {made} ran already"


def judge_of(state: State, tools: Tools, context: Context) -> Judge:
    """The judge of a step, as strict with content as the run's settings say."""
    return Judge(state=state, tools=tools, content="high" if context.unproven_content == "ask" else "medium")


@dataclass(kw_only=True)
class Judge:
    """Judges the calls of one step, by the state it began with."""

    state: State
    tools: Tools
    content: Risk = "medium"
    """Tier of a call whose content a stranger may have had a hand in."""
    _read: list[Source] = field(default_factory=list)
    """What trusted tools gave since."""
    _origins: list[Origin] = field(default_factory=list)
    _filled_in: list[origins.Place] = field(default_factory=list)
    """What a plan has read from outside since."""
    _begun: Counter[str] = field(default_factory=Counter)
    """Calls of this step, by tool and by intent."""

    @cached_property
    def outside(self) -> bool:
        """See `outside_read`."""
        return outside_read(self.state, self.tools)

    @cached_property
    def trusted(self) -> Trusted:
        """All that values may come from."""
        met = [*(self.state.get("origins") or []), *self._origins]
        sources = [*sources_of(self.state, self.tools), *self._read, *_fields(met)]
        bound = [
            Bound(value=one["text"], tool=one["tool"], argument=one.get("argument", ""))
            for one in met
            if one["kind"] != "field"
        ]
        return Trusted(sources, bound)

    @cached_property
    def _places(self) -> Sequence[origins.Place]:
        return [*reversed(self._filled_in), *origins.places(self.state)]

    def take_in(self, task: Task, result: TaskResult, met: Sequence[Origin]) -> None:
        """Something was read since the step began."""
        tool = task["tool"]
        trust = self.tools.trust(tool)
        if result.get("outside"):
            self.outside = True
            self._filled_in.append(origins.read_outside(task, result["text"]))
            self.__dict__.pop("_places", None)
        elif not (trust.untrusted or trust.gated) and result["stands"] == "done":
            self._read.append(Source(name=tool, text=result["text"]))
        self._origins += met
        self.__dict__.pop("trusted", None)

    def needs_reading(self, names: Iterable[str]) -> bool:
        """Whether one of these calls is judged by what the request asks for, and the request was not read yet."""
        if not self.gates(names) or answered(self.state) or not self.outside:
            return False
        known = self.state.get("wanted")
        return known is None or known["request"] != request_id(self.state["messages"])

    def _wanted(self) -> Wanted:
        """What the newest request asks for; nothing until it is read, nor when it was answered."""
        if answered(self.state):
            return nothing_more(self.state)
        request, known = request_id(self.state["messages"]), self.state.get("wanted")
        return known if known and known["request"] == request else Wanted(request=request, calls={})

    def gates(self, names: Iterable[str]) -> bool:
        """Whether one of these tools changes something or lets data out."""
        return any(self.tools.trust(name).gated for name in names)

    def raised(self, name: str, found: Assessment, *, planned: Mapping[str, Any] | None = None) -> tuple[Risk, str]:
        """The call's tier and its reasons, with what can't be shown of it.

        `planned`: its arguments as a plan has them that was made before anything from outside was read.
        """
        trust, wanted = self.tools.trust(name), self._wanted()
        if found.error or not trust.gated:
            return found.risk, found.reason
        tiers: list[tuple[Risk, str]] = [(found.risk, found.reason)]
        if wanted.get("rejected"):
            tiers.append(("high", REJECTED))
        if not self.outside:
            return _highest(tiers)
        intent, allowed = self.tools.intent(name, found.args), False
        beyond = self._beyond(name, intent, in_plan=planned is not None)
        for argument, value in found.args.items():
            if planned is not None and argument in planned and planned[argument] == value:
                continue
            if self._given(argument, value, name, trust) is not None:
                continue
            if directory := self._vouched(name, argument, value):
                tiers.append((found.risk, f"{argument} is in {directory}"))
                allowed = intent is None  # a read where the operator lets it go
                continue
            tier: Risk = self.content if argument in trust.content else "high"
            stands = origins.of_value(value, self._places)
            where = f": it stands in {', '.join(stands)}" if stands else ""
            tiers.append((tier, f"{argument} {_shown(value)} is not from you{where}"))
        if beyond and not allowed:
            tiers.insert(1, ("high", beyond))
        self.began(name, found.args)
        return _highest(tiers)

    def began(self, name: str, args: Mapping[str, Any]) -> None:
        """Count a call of this step, one that is not judged here, too: it takes its place in the request's count."""
        intent = self.tools.intent(name, args)
        self._begun.update({name: 1, intent: 1} if intent else {name: 1})

    def met(self, call: Call, text: str) -> Iterator[Origin]:
        """What of a call's result later arguments may come from."""
        trust = self.tools.trust(call["name"])
        data = _data(text) if trust.structured else None
        records = [one for one in (data if isinstance(data, list) else [data]) if isinstance(one, dict)]
        for record in records:
            for name in trust.fields:
                for value in _values(record.get(name)):
                    yield Origin(kind="field", tool=call["name"], text=value)
        if trust.gated:
            yield from _ids(call["name"], records[0] if len(records) == 1 else {})
        elif records and self._asked_by_us(call["args"]):
            meant = pointing.meant(records, call["args"]) or {}
            yield from _ids(call["name"], meant)
            for name, whole in pointing.taken(meant, call["args"], self._said()):
                for value in _values(whole):
                    yield Origin(kind="taken", tool=call["name"], text=value, argument=name)

    def _asked_by_us(self, args: Mapping[str, Any]) -> bool:
        """Whether a lookup's words are ours, and about something: then its one hit is what was meant."""
        asked = [value for value in args.values() if value not in (None, "", [], {})]
        if not self.outside:
            return bool(asked)
        return pointing.telling(args) and self.trusted.origin(asked) is not None

    def _said(self) -> list[str]:
        """What people said."""
        return [str(one.text) for one in self.state["messages"] if isinstance(one, HumanMessage)]

    def _given(self, argument: str, value: Any, name: str, trust: Trust) -> str | None:
        """The origin of a whole argument: to leave it out says nothing, to empty what would not be empty does."""
        default = trust.defaults.get(argument)
        if type(value) is type(default) and value == default:
            return "nothing"
        return None if default and not value and not _is_number(value) else self._origin(argument, value, name, trust)

    def _origin(self, argument: str, value: Any, name: str, trust: Trust) -> str | None:
        if argument in trust.records:
            values = value if isinstance(value, list) else [value]
            return of_all(self.trusted.record(one, name, argument) for one in values if one is not None)
        if isinstance(value, Mapping):
            known = trust.keys.union(trust.records, trust.content)
            keys = (self.trusted.origin(inner) for inner in value if inner not in known)
            return of_all(chain(keys, (self._origin(inner, part, name, trust) for inner, part in value.items())))
        if isinstance(value, list) and any(isinstance(part, (Mapping, list)) for part in value):
            return of_all(self._origin(argument, part, name, trust) for part in value)
        if value is True:
            return self.trusted.flag(argument)
        choices = trust.choices.get(argument, ())
        trusted = self.trusted
        return trusted.origin(value) or trusted.choice(value, argument, choices) or trusted.taken(value, name, argument)

    def _vouched(self, name: str, argument: str, value: Any) -> str | None:
        """The directory of the operator's that has the value."""
        return self.tools.vouched(name, argument, value, lambda part: self.trusted.origin(part) is not None)

    def _beyond(self, name: str, intent: str | None, *, in_plan: bool) -> str | None:
        """Why a call is not among those the request asks for; one made twice would take another one's place."""
        wanted = self._wanted()
        if in_plan or wanted.get("rejected"):
            return None
        if wanted.get("answered"):
            return ANSWERED
        count = wanted["calls"].get(name, 0)
        made = self._ran(name) + self._begun[name]
        if made < count:
            again = made and intent and (self.state.get("intents", {}).get(intent) or self._begun[intent])
            return AGAIN.format(tool=name) if again else None
        return ONCE_MORE.format(tool=name, count=count, made=made) if count else NOT_WANTED.format(tool=name)

    def _ran(self, name: str) -> int:
        """How often it ran: an effect that failed did nothing, a read that failed has let its words out."""
        usage = self.state.get("usage")
        if usage is None or self.state.get("outcome"):  # what the run before made was for another request
            return 0
        reads = self.tools.intent(name, {}) is None
        return usage["by_tool" if reads else "done"].get(name, 0)


def _highest(tiers: Sequence[tuple[Risk, str]]) -> tuple[Risk, str]:
    """The highest tier, with the reasons of all."""
    risk = max((tier for tier, _ in tiers), key=RISKS.index)
    return risk, "; ".join(dict.fromkeys(why for _, why in tiers if why))


def _fields(met: Sequence[Origin]) -> Iterator[Source]:
    return (Source(name=one["tool"], text=one["text"]) for one in met if one["kind"] == "field")


def _ids(tool: str, record: Mapping[str, Any]) -> Iterator[Origin]:
    for name, value in record.items():
        if (name in ID_FIELDS or name.endswith("_id")) and isinstance(value, (str, int)):
            yield Origin(kind="record", tool=tool, text=str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _values(one)
    elif value is not None and not isinstance(value, dict):
        yield str(value)


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    plain = " ".join(text.split())
    return repr(plain if len(plain) <= SHOWN_CHARS else plain[: SHOWN_CHARS - 1] + "…")
