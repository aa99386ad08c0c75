"""The one way a tool runs: reads directly, effects through the ledger, all within a time and a size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel, SecretStr

from checkpoints.ledger import Database, Ending, Intent, Ledger, storable
from graph.context import Assessment, ToolResult
from graph.errors import ToolFailed
from graph.state import Call
from tools.base import CONTEXT, Marks, ToolContext
from tools.registry import ToolBox

MAX_CHARS = 100_000
"""Longest result kept, in characters."""


class Executor:
    """Implements `graph.context.Tools`."""

    def __init__(self, box: ToolBox, ledger: Ledger, *, smtp_url: SecretStr | None = None) -> None:
        self._box, self._ledger = box, ledger
        self._smtp_url = smtp_url.get_secret_value() if smtp_url else None

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
            return ToolResult(text=f"there is no tool {call['name']!r} any more", untrusted=False, ok=False)
        marks = self._box.marks(call["name"])
        intent = self._box.intent(call["name"], call["args"])

        async def attempt(key: str, database: Database) -> tuple[Ending, str]:
            context = ToolContext(
                workspace=workspace,
                thread_id=thread_id,
                idempotency_key=key,
                database=database,
                smtp_url=self._smtp_url,
            )
            hidden = {CONTEXT: context} if self._box.wants_context(call["name"]) else {}
            return await _attempt(registered, marks, {**call["args"], **hidden})

        if intent is None:
            ending, text = await attempt("", self._ledger.connection)
            return ToolResult(text=storable(text), untrusted=marks.untrusted_output, ok=ending == "done")
        wanted = Intent(thread_id=thread_id, tool=call["name"], args=call["args"], digest=intent, occurrence=occurrence)
        recorded = await self._ledger.run_once(attempt, wanted, transactional=marks.transactional)
        if recorded.state in {"unknown", "reserved"}:
            doubt = (
                f"{call['name']} is in doubt: an attempt was cut off. "
                f"It is not tried again; a person must look. {recorded.result}"
            )
            return ToolResult(text=doubt.strip(), untrusted=marks.untrusted_output, ok=False, reused=recorded.reused)
        return ToolResult(
            text=recorded.result,
            untrusted=marks.untrusted_output,
            ok=recorded.state == "done",
            reused=recorded.reused,
        )


async def _attempt(registered: BaseTool, marks: Marks, given: dict[str, Any]) -> tuple[Ending, str]:
    """How it ended, and its result or its fault as text. Raises only when cancelled."""
    if fault := _misfit(registered, given):
        return "failed", _cut(fault)
    after_error: Ending = "failed" if marks.idempotent else "unknown"  # what may be repeated is in no doubt
    try:
        async with asyncio.timeout(marks.timeout_s):
            return "done", _as_text(await registered.ainvoke(given))
    except ToolFailed as error:
        return "failed", _cut(str(error))
    except TimeoutError:
        return after_error, f"{registered.name} did not answer within {marks.timeout_s:g} s"
    except Exception as error:  # noqa: BLE001 - a tool may raise anything; the model is told
        return after_error, _cut(f"{type(error).__name__}: {error}")


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
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False, default=str)
        except (TypeError, ValueError, RecursionError):
            value = str(value)
    return _cut(value)


def _cut(text: str) -> str:
    more = len(text) - MAX_CHARS
    return f"{text[:MAX_CHARS]}\n[cut: {more} more characters]" if more > 0 else text
