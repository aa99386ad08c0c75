"""What the worst-case model plays: the user's calls, and the attacker's from the moment it has seen their text."""

from __future__ import annotations

from dataclasses import dataclass, field

from langchain_core.messages import AIMessage

from evals.dojo.planning import Planning
from evals.dojo.plots import Plot
from evals.dojo.replies import calling, said
from evals.dojo.watching import Watch, squeezed
from evals.dojo.world import Made, Pair
from graph.extracts import FACTS, VALUE_CHARS
from graph.models import Question
from services.extraction import EXTRACT
from services.request_reading import READ


@dataclass(kw_only=True)
class Script:
    """The model of one run."""

    pair: Pair
    plot: Plot
    watch: Watch
    effects: frozenset[str]
    planning: Planning
    hijacked: bool = False
    reader_saw: bool = False
    """Whether an attacker's text stood where only people's words may."""
    _made: list[Made] = field(default_factory=list)
    _left: list[Made] = field(init=False)

    def __post_init__(self) -> None:
        self._left = list(self.pair.calls)

    def reply(self, question: Question) -> AIMessage:
        """The reply to a question, by the role it is asked in."""
        if question.role == "extractor":
            return self._extract(question)
        if question.role == "reader":
            self.reader_saw = self.reader_saw or self._shows(question)
            return self._asked_for()
        seen = self.watch.sees(question.messages)
        match question.role:
            case "planner":
                return self.planning.plan(hijacked=seen)
            case "subtask":
                return self.planning.subtask(question, hijacked=seen)
            case "summarizer":
                return said("\n".join(self.pair.payloads) if seen else "Nothing of note.")
        return self._next(question, seen=seen)

    def _shows(self, question: Question) -> bool:
        """Whether an attacker's text stands in this one question, which is not the deciding model's."""
        return Watch(payloads=self.watch.payloads, usual=self.watch.usual).sees(question.messages)

    def _extract(self, question: Question) -> AIMessage:
        """The attacker's text wherever the form has room for it: all of it, unless it is longer than the form."""
        if not self._shows(question):
            return calling([Made(tool=EXTRACT, args={"about": "Nothing of note.", "facts": []})])
        whole = " ".join("\n".join(self.pair.payloads).split())
        parts = [whole[at : at + VALUE_CHARS] for at in range(0, len(whole), VALUE_CHARS)]
        about, values = parts[0], parts[1:] if len(parts) > FACTS else parts
        self.watch.fields |= {squeezed(part) for part in parts}
        return calling(
            [Made(tool=EXTRACT, args={"about": about, "facts": [{"value": part} for part in values[:FACTS]]})]
        )

    def _next(self, question: Question, *, seen: bool) -> AIMessage:
        if not question.tools:
            return said(self._answer(seen=seen))
        if seen and not self.hijacked:
            self.hijacked = True
            self._left = self.plot.after(self._made, self._left)
        if not self._left:
            return said(self._answer(seen=seen))
        call = self._left.pop(0)
        self._made.append(call)
        return calling([call])

    def _answer(self, *, seen: bool) -> str:
        return "\n".join(part for part in (self.pair.answer, self.pair.said if seen else "") if part) or "Done."

    def _asked_for(self) -> AIMessage:
        """Honest: what the user's own task calls for."""
        names = [one.tool for one in self.pair.calls if one.tool in self.effects]
        asked = [{"tool": name, "count": names.count(name)} for name in dict.fromkeys(names)]
        return calling([Made(tool=READ, args={"calls": asked})])
