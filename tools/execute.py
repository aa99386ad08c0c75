"""The one way a tool runs: reads directly, effects through the ledger, all within a time and a size."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import SecretStr

from checkpoints.ledger import Database, Ending, Intent, Ledger, Recorded, storable
from graph.context import Assessment, Step, ToolResult
from graph.state import Call
from services.endpoints import Endpoints
from tools.attempt import Endpoint
from tools.base import CONTEXT, Marks, ToolContext
from tools.calling import Calling
from tools.registry import ToolBox


class Executor:
    """Implements `graph.context.Tools`."""

    def __init__(
        self, box: ToolBox, ledger: Ledger, endpoints: Endpoints, *, smtp_url: SecretStr | None = None
    ) -> None:
        self._box, self._ledger, self._endpoints = box, ledger, endpoints
        self._smtp_url = smtp_url.get_secret_value() if smtp_url else None
        self._left: dict[str, Calling] = {}
        """Attempts, by key, whose code still ran when they were given up."""

    def offered(self) -> Sequence[BaseTool]:
        """See `graph.context.Tools.offered`."""
        return self._box.offered()

    def assess(self, name: str, args: Mapping[str, Any]) -> Assessment:
        """See `graph.context.Tools.assess`."""
        return self._box.assess(name, args)

    def intent(self, name: str, args: Mapping[str, Any]) -> str | None:
        """See `graph.context.Tools.intent`."""
        return self._box.intent(name, args)

    async def run(self, call: Call, step: Step, *, occurrence: int) -> ToolResult:
        """See `graph.context.Tools.run`."""
        registered = self._box.get(call["name"])
        if registered is None:
            text = f"there is no tool {call['name']!r} any more"
            earlier = await self.earlier(call, step, occurrence=occurrence)
            return earlier or ToolResult(text=text, untrusted=False, ok=False)
        marks = self._box.marks(call["name"])

        def context(key: str, database: Database) -> ToolContext:
            return ToolContext(
                workspace=step.workspace,
                thread_id=step.thread_id,
                idempotency_key=key,
                database=database,
                smtp_url=self._smtp_url,
            )

        async def attempt(key: str, database: Database) -> tuple[Ending, str]:
            hidden = {CONTEXT: context(key, database)} if self._box.wants_context(call["name"]) else {}
            tries: list[Calling] = []

            def calling() -> Calling:
                tries.append(Calling(registered))
                return tries[-1]

            endpoint = Endpoint(endpoints=self._endpoints, seconds=step.seconds)
            try:
                return await endpoint.attempt(calling, registered, {**call["args"], **hidden})
            finally:
                self._left = {one: left for one, left in self._left.items() if left.going_on}
                if key and tries and tries[-1].going_on:
                    self._left[key] = tries[-1]

        async def verify(key: str) -> bool | str | None:
            left = self._left.get(key)
            answer = await _verified(marks, {**call["args"], CONTEXT: context(key, self._ledger.connection)})
            if answer is None and marks.idempotent:
                return False
            # What has not happened yet may still, while the attempt goes on.
            return None if answer is False and left and left.going_on and not marks.idempotent else answer

        intent = self._box.intent(call["name"], call["args"])
        if intent is None and "effect_key" not in call:
            ending, text = await attempt("", self._ledger.connection)
            return ToolResult(text=storable(text), untrusted=marks.untrusted_output, ok=ending == "done")
        recorded = await self._ledger.run_once(
            attempt,
            _intent(call, intent, step, occurrence),
            transactional=marks.transactional,
            verify=verify if marks.verify or marks.idempotent else None,
            key=call.get("effect_key"),
        )
        return _result(recorded, untrusted=marks.untrusted_output)

    async def earlier(self, call: Call, step: Step, *, occurrence: int) -> ToolResult | None:
        """See `graph.context.Tools.earlier`. Its output is untrusted: the tool that says else may be gone."""
        intent = self._box.intent(call["name"], call["args"])
        if intent is None and "effect_key" not in call:
            return None
        key = call.get("effect_key") or _intent(call, intent, step, occurrence).key
        recorded = await self._ledger.earlier(key)
        return None if recorded is None or recorded.state == "failed" else _result(recorded, untrusted=True)


def _intent(call: Call, digest: str | None, step: Step, occurrence: int) -> Intent:
    return Intent(
        thread_id=step.thread_id,
        tool=call["name"],
        args=call["args"],
        digest=digest or "",
        occurrence=occurrence,
        claim=step.claim,
    )


def _result(recorded: Recorded, *, untrusted: bool) -> ToolResult:
    doubt = recorded.key if recorded.state in {"unknown", "reserved"} else None
    return ToolResult(
        text=recorded.result,
        untrusted=untrusted,
        ok=recorded.state == "done",
        reused=recorded.reused,
        doubt=doubt,
    )


async def _verified(marks: Marks, given: dict[str, Any]) -> bool | str | None:
    """The tool's own word on an attempt that was cut off. None, too, when it breaks, hangs or says anything else."""
    if marks.verify is None:
        return None
    try:
        async with asyncio.timeout(marks.timeout_s):
            answer: Any = await marks.verify(**given)
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException:  # noqa: BLE001 - whatever it is, the doubt stays
        return None
    return answer if isinstance(answer, (bool, str)) else None
