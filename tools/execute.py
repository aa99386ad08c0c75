"""The one way a tool runs: reads directly, effects through the ledger, all within a time and a size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel, SecretStr

from checkpoints.ledger import Database, Ending, Intent, Ledger, Recorded, storable
from graph.context import Assessment, ToolResult
from graph.errors import ToolFailed
from graph.state import Call
from tools.base import CONTEXT, Marks, ToolContext
from tools.calling import Calling, Crashed, NoAnswer
from tools.registry import ToolBox

MAX_CHARS = 100_000
"""Longest result kept, in characters."""


class Executor:
    """Implements `graph.context.Tools`."""

    def __init__(self, box: ToolBox, ledger: Ledger, *, smtp_url: SecretStr | None = None) -> None:
        self._box, self._ledger = box, ledger
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

    async def run(self, call: Call, *, thread_id: str, occurrence: int, workspace: Path) -> ToolResult:
        """See `graph.context.Tools.run`."""
        registered = self._box.get(call["name"])
        if registered is None:
            text = f"there is no tool {call['name']!r} any more"
            earlier = await self.earlier(call, thread_id=thread_id, occurrence=occurrence)
            return earlier or ToolResult(text=text, untrusted=False, ok=False)
        marks = self._box.marks(call["name"])

        def context(key: str, database: Database) -> ToolContext:
            return ToolContext(
                workspace=workspace,
                thread_id=thread_id,
                idempotency_key=key,
                database=database,
                smtp_url=self._smtp_url,
            )

        async def attempt(key: str, database: Database) -> tuple[Ending, str]:
            hidden = {CONTEXT: context(key, database)} if self._box.wants_context(call["name"]) else {}
            calling = Calling(registered)
            try:
                return await _attempt(calling, registered, marks, {**call["args"], **hidden})
            finally:
                self._left = {one: left for one, left in self._left.items() if left.going_on}
                if key and calling.going_on:
                    self._left[key] = calling

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
            _intent(call, intent, thread_id, occurrence),
            transactional=marks.transactional,
            verify=verify if marks.verify or marks.idempotent else None,
            key=call.get("effect_key"),
        )
        return _result(recorded, untrusted=marks.untrusted_output)

    async def earlier(self, call: Call, *, thread_id: str, occurrence: int) -> ToolResult | None:
        """See `graph.context.Tools.earlier`. Its output is untrusted: the tool that says else may be gone."""
        intent = self._box.intent(call["name"], call["args"])
        if intent is None and "effect_key" not in call:
            return None
        key = call.get("effect_key") or _intent(call, intent, thread_id, occurrence).key
        recorded = await self._ledger.earlier(key)
        return None if recorded is None or recorded.state == "failed" else _result(recorded, untrusted=True)


def _intent(call: Call, digest: str | None, thread_id: str, occurrence: int) -> Intent:
    return Intent(thread_id=thread_id, tool=call["name"], args=call["args"], digest=digest or "", occurrence=occurrence)


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


async def _attempt(calling: Calling, registered: BaseTool, marks: Marks, given: dict[str, Any]) -> tuple[Ending, str]:
    """How it ended, and its result or its fault as text. Raises only when cancelled."""
    if fault := _misfit(registered, given):
        return "failed", _cut(fault)
    after_error: Ending = "failed" if marks.idempotent else "unknown"  # what may be repeated is in no doubt
    try:
        value = await calling.within(given, marks.timeout_s, patient=marks.transactional)
    except ToolFailed as error:
        return "failed", _cut(str(error))
    except NoAnswer:
        return after_error, f"{registered.name} did not answer within {marks.timeout_s:g} s"
    except Crashed as crash:
        return after_error, _cut(f"{registered.name} tried to end the process ({crash})")
    except Exception as error:  # noqa: BLE001 - a tool may raise anything; the model is told
        return after_error, _cut(f"{type(error).__name__}: {_words(error)}")
    return "done", _as_text(value)


def _misfit(registered: BaseTool, given: dict[str, Any]) -> str | None:
    """Why the arguments are refused. Told before the tool runs, it leaves nothing in doubt.

    The box misses validators beside a hidden parameter, and the tool may be newer than the call.
    """
    schema = registered.args_schema
    try:
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            schema.model_validate(given)
    except Exception as error:  # noqa: BLE001 - a tool's own validator may raise anything
        return f"the arguments do not fit {registered.name}: {error}"
    return None


def _as_text(value: Any) -> str:
    """Any result as text. What was done is done, also when it can't be shown."""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False, default=str)
        except Exception:  # noqa: BLE001 - a value's own code may raise anything
            value = _words(value)
    return _cut(value)


def _words(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - as above
        return f"[{type(value).__name__} that can't be shown: {type(error).__name__}]"


def _cut(text: str) -> str:
    more = len(text) - MAX_CHARS
    return f"{text[:MAX_CHARS]}\n[cut: {more} more characters]" if more > 0 else text
