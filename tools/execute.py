"""The one way a tool runs: reads directly, effects through the ledger, all within a time and a size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import SecretStr

from checkpoints.ledger import Intent, Ledger, storable
from checkpoints.seen import Seen
from graph.results import NothingKept, Results
from graph.state import Call
from graph.tools import Assessment, Step, ToolResult, Trust
from services.endpoints import Endpoints
from tools.attempt import Attempts, whole_of
from tools.base import marks_of
from tools.calling import Calling, watched
from tools.registry import ToolBox
from tools.running import Running, result_of


class Executor:
    """Implements `graph.tools.Tools`."""

    def __init__(
        self,
        box: ToolBox,
        ledger: Ledger,
        endpoints: Endpoints,
        *,
        smtp_url: SecretStr | None = None,
        results: Results | None = None,
    ) -> None:
        self._box, self._ledger, self._endpoints = box, ledger, endpoints
        self._results = results or NothingKept()
        self._lookup = Seen(ledger.connection)
        self._tools = {tool.name: watched(tool) for tool in box.registered()}
        self._smtp_url = smtp_url.get_secret_value() if smtp_url else None
        self._left: dict[str, Calling] = {}
        """Attempts, by key, whose code still ran when they were given up."""

    def offered(self) -> Sequence[BaseTool]:
        """See `graph.tools.Tools.offered`."""
        return self._box.offered()

    async def assess(self, name: str, args: Mapping[str, Any]) -> Assessment:
        """See `graph.tools.Tools.assess`."""
        return await self._box.assess(name, args, lookup=self._lookup)

    def intent(self, name: str, args: Mapping[str, Any]) -> str | None:
        """See `graph.tools.Tools.intent`."""
        return self._box.intent(name, args)

    def vouched(self, name: str, argument: str, value: Any, shown: Callable[[str], bool]) -> str | None:
        """See `graph.tools.Tools.vouched`."""
        return self._box.vouched(name, argument, value, shown)

    def bounds(self, name: str, args: Mapping[str, Any]) -> Mapping[str, int]:
        """See `graph.tools.Tools.bounds`."""
        return self._box.bounds(name, args)

    def trust(self, name: str) -> Trust:
        """See `graph.tools.Tools.trust`."""
        return self._box.trust(name)

    async def run(self, call: Call, step: Step, *, occurrence: int) -> ToolResult:
        """See `graph.tools.Tools.run`."""
        registered = self._tools.get(call["name"])
        if registered is None:
            text = f"there is no tool {call['name']!r} any more"
            earlier = await self.earlier(call, step, occurrence=occurrence)
            return earlier or ToolResult(text=text, untrusted=False, ok=False)
        running = Running(
            call=call,
            attempts=Attempts(endpoints=self._endpoints, tool=registered, step=step, results=self._results),
            ledger=self._ledger,
            wants_context=self._box.wants_context(call["name"]),
            smtp_url=self._smtp_url,
            left=self._left,
        )
        marks, intent = marks_of(registered), self._box.intent(call["name"], call["args"])
        if intent is None and "effect_key" not in call:
            ending, text = await running.attempt("", self._ledger.connection)
            done = ending == "done"
            whole = whole_of(text) if done else None
            return ToolResult(text=storable(text), untrusted=marks.untrusted_output, ok=done, whole=whole)
        wanted, asked = _intent(call, intent, step, occurrence), call.get("effect_key")
        if marks.transactional:
            return await running.in_transactions(wanted, asked)
        checks = running.verify if marks.verify or marks.idempotent else None
        recorded = await self._ledger.run_once(running.attempt, wanted, transactional=False, verify=checks, key=asked)
        return result_of(recorded, untrusted=marks.untrusted_output)

    async def earlier(self, call: Call, step: Step, *, occurrence: int) -> ToolResult | None:
        """See `graph.tools.Tools.earlier`. Its output is untrusted: the tool that says else may be gone."""
        intent = self._box.intent(call["name"], call["args"])
        if intent is None and "effect_key" not in call:
            return None
        recorded = await self._ledger.earlier(_intent(call, intent, step, occurrence), key=call.get("effect_key"))
        return None if recorded is None or recorded.state == "failed" else result_of(recorded, untrusted=True)


def _intent(call: Call, digest: str | None, step: Step, occurrence: int) -> Intent:
    return Intent(
        thread_id=step.thread_id,
        tool=call["name"],
        args=call["args"],
        digest=digest or "",
        occurrence=occurrence,
        claim=step.claim,
    )
