"""One try at a tool: within its time, its rate limit and its breaker, and what comes of it as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel

from checkpoints.ledger import Ending
from graph.errors import ToolFailed, ToolUnavailable
from services.endpoints import Endpoints
from services.faults import transient
from services.refusals import NeverStarted
from tools.base import Marks, marks_of
from tools.calling import Calling, Crashed, NoAnswer

MAX_CHARS = 100_000
"""Longest result kept, in characters."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The way to a tool: what its failures, its rate limit and the time that is left say of a call."""

    endpoints: Endpoints
    seconds: float

    async def attempt(
        self, calling: Callable[[], Calling], tool: BaseTool, given: dict[str, Any]
    ) -> tuple[Ending, str]:
        """How a call ended, and its result or its fault as text. Raises only when cancelled.

        What may be repeated is tried again after an error that may pass, an effect only when it never began.
        """
        if fault := _misfit(tool, given):
            return "failed", _cut(fault)
        marks = marks_of(tool)

        async def once() -> Any:
            return await calling().within(given, min(marks.timeout_s, self.seconds), patient=marks.transactional)

        after_error: Ending = "failed" if marks.idempotent else "unknown"  # what may be repeated is in no doubt
        try:
            value = await self.endpoints.call(
                f"tool:{tool.name}",
                once,
                retry=lambda error: _again(error, marks),
                counts=lambda error: not isinstance(error, ToolFailed) or isinstance(error, ToolUnavailable),
                within_s=self.seconds,
            )
        except (ToolFailed, NeverStarted) as error:
            return "failed", _cut(str(error))
        except NoAnswer:
            waited = min(marks.timeout_s, self.seconds)
            return after_error, f"{tool.name} did not answer within {waited:g} s"
        except Crashed as crash:
            return after_error, _cut(f"{tool.name} tried to end the process ({crash})")
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; the model is told
            return after_error, _cut(f"{type(error).__name__}: {_words(error)}")
        return "done", _as_text(value)


def _again(error: Exception, marks: Marks) -> bool | float:
    """Whether to try again: no, yes, or in so many seconds."""
    if isinstance(error, ToolUnavailable):
        return True if error.retry_after_s is None else error.retry_after_s
    if isinstance(error, (ToolFailed, NoAnswer, Crashed)) or not marks.idempotent:
        return False
    return isinstance(error, OSError) or transient(error)


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
