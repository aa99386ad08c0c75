"""What guards say of a run's texts, and what becomes of it: the one place where nodes ask them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langgraph.runtime import Runtime

from graph.context import Run
from graph.errors import UNREAD
from graph.guards import Finding, Guards, Ruling, Seen
from graph.state import RISKS, Risk, State, newest_request, request_id
from nodes.asking import NoReply, usage_of_this_run
from nodes.notices import PREFIX
from services.budget import RunBudget, budget_of
from services.totals import before

WITHHELD_REQUEST = "(A guard withheld this message.)"
"""Stands where a denied request did: later turns do not read it either. Nothing a guard says is part of it, for words
of a request are trusted."""

REFUSED = "not run: a guard refused these arguments: {why}"

EXCERPT_CHARS = 120


@dataclass(kw_only=True)
class Guarding:
    """Asks the guards for one execution of a node."""

    run: Run
    state: State
    open_budget: Callable[[], RunBudget]
    """What a guard's model is paid from; opened when the first is asked."""
    findings: list[Finding] = field(default_factory=list)
    """Of requests, answers and arguments; those of content are handed back with it."""
    asked: bool = False
    _update: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def budget(self) -> RunBudget:
        """See `open_budget`."""
        return self.open_budget()

    @property
    def guards(self) -> Guards:
        """The chains."""
        return self.run.services.guards

    async def request(self) -> None:
        """Check what people have written since the last check, before any model reads it.

        Raises:
            NoReply: it is denied; the run ends.
        """
        newest = request_id(self.state["messages"])
        if not self.guards.on("input") or self.state.get("guarded") == newest:
            return
        new = _since(self.state["messages"], self.state.get("guarded"))
        text = "\n\n".join(str(message.text) for message in new)
        ruling = await self._ruled(Seen(stage="input", text=text, request=text), low=True)
        self.findings += findings_of(ruling, "request", "")
        self._update["guarded"] = newest
        if ruling.denied:
            withheld = (message.model_copy(update={"content": WITHHELD_REQUEST}) for message in new)
            self._update["messages"] = list(withheld)
            raise NoReply("blocked", f"the request was not let through: {ruling.denied}")

    def update(self) -> dict[str, Any]:
        """What the node adds to its own update."""
        return {**self._update, **({"findings": self.findings} if self.findings else {})}

    async def spent(self) -> dict[str, Any]:
        """The usage, of a node that asks no model of its own."""
        return {"usage": await self.budget.close()} if self.asked else {}

    async def content(self, text: str, raw: str, tool: str, call_id: str) -> tuple[Ruling, list[Finding]]:
        """Check what a tool read. What a gated tool gave counts as more than low."""
        if not self.guards.on("content"):
            return Ruling(text=text), []
        seen = Seen(stage="content", text=text, raw=raw, tool=tool, request=self.request_text)
        ruling = await self._ruled(seen, low=not self.run.services.tools.trust(tool).gated)
        if ruling.denied:
            ruling = Ruling(text=UNREAD.format(why=ruling.denied), denied=ruling.denied, notes=ruling.notes)
        return ruling, findings_of(ruling, tool, call_id)

    async def refusal(self, tool: str, call_id: str, args: Mapping[str, Any], risk: Risk) -> tuple[str, list[Finding]]:
        """Why a gated call may not run, told to the model; empty when it may."""
        if not self.guards.on("arguments") or not self.run.services.tools.trust(tool).gated:
            return "", []
        text = json.dumps(dict(args), ensure_ascii=False, default=str)
        seen = Seen(stage="arguments", text=text, tool=tool, request=self.request_text)
        ruling = await self._ruled(seen, low=risk == RISKS[0])
        return REFUSED.format(why=ruling.denied) if ruling.denied else "", findings_of(ruling, tool, call_id)

    async def answered(self, message: AIMessage) -> dict[str, Any]:
        """Check the run's answer: the update that replaces it, or ends the run without it."""
        if not self.guards.on("output"):
            return {}
        ruling = await self.said(str(message.text))
        if ruling.denied:
            why = f"the answer was not let through: {ruling.denied}"
            withheld = AIMessage(why, id=f"{PREFIX}{message.id}")
            return {"messages": [withheld], "outcome": "blocked", "reason": why}
        if ruling.text != message.text:
            return {"messages": [message.model_copy(update={"content": ruling.text})]}
        return {}

    async def said(self, text: str) -> Ruling:
        """Check words for people."""
        ruling = await self._ruled(Seen(stage="output", text=text, request=self.request_text), low=True)
        self.findings += findings_of(ruling, "answer", "")
        return ruling

    async def _ruled(self, seen: Seen, *, low: bool) -> Ruling:
        self.asked = True
        return await self.guards.check(seen, low=low, budget=self.budget)

    @property
    def request_text(self) -> str:
        """What a person wrote last."""
        request = newest_request(self.state["messages"])
        return str(request.text) if request else ""


def guarding_at(runtime: Runtime[Run], node: str, state: State) -> Guarding:
    """For a node that opens no budget of its own."""

    def opened() -> RunBudget:
        usage = usage_of_this_run(state)
        return budget_of(runtime, node, runtime.context.context(state), usage, before(state))

    return Guarding(run=runtime.context, state=state, open_budget=opened)


def findings_of(ruling: Ruling, tool: str, call_id: str) -> list[Finding]:
    """What people see of a ruling."""
    told = [(f"guard {name}", what) for name, what in ruling.notes]
    if ruling.denied:
        name, _, why = ruling.denied.partition(": ")
        told.append((f"guard {name}", why))
    return [Finding(tool=tool, call_id=call_id, rule=rule, excerpt=what[:EXCERPT_CHARS]) for rule, what in told]


def _since(messages: list[AnyMessage], checked: str | None) -> list[AnyMessage]:
    """What came from people after the message that was checked; all of it, when that one is not there."""
    places = [place for place, message in enumerate(messages) if message.id == checked]
    later = messages[places[-1] + 1 :] if places else messages
    return [message for message in later if isinstance(message, (HumanMessage, SystemMessage))]
