"""One try at a tool: within its time, its rate limit and its breaker, and what comes of it as text."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.tools import BaseTool
from pydantic import BaseModel

from checkpoints.ledger import Ending, Recorded
from checkpoints.outage import passes
from graph.errors import ToolFailed, ToolUnavailable
from graph.tools import Step
from services.endpoints import Endpoints
from services.faults import transient
from services.refusals import NeverStarted
from tools.base import Marks, marks_of
from tools.calling import Calling, Crashed, NoAnswer

T = TypeVar("T")

MAX_CHARS = 100_000
"""Longest result kept, in characters."""


class OutOfTime(ToolFailed):
    """The run's time was over before the call began."""


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The way to one tool within one step."""

    endpoints: Endpoints
    tool: BaseTool
    step: Step

    async def through(self, once: Callable[[], Awaitable[T]]) -> T:
        """What `once` gives, within the tool's rate limit and behind its breaker.

        What may be repeated is tried again after an error that may pass, an effect only when it never began.

        Raises:
            Exception: what `once` raised last.
            NeverStarted: it was not called.
        """
        marks = marks_of(self.tool)
        return await self.endpoints.call(
            f"tool:{self.tool.name}",
            once,
            retry=lambda error: _again(cause_of(error), marks),
            counts=lambda error: self._speaks_against(cause_of(error)),
            within_s=max(0.0, self.step.left()),
            takes_s=marks.timeout_s,
        )

    async def once(self, calling: Calling, given: dict[str, Any]) -> str:
        """The tool's result as text.

        Raises:
            Exception: what the tool raised; OutOfTime; NoAnswer.
        """
        marks, left = marks_of(self.tool), self.step.left()
        if left <= 0:
            raise OutOfTime(f"{self.tool.name} was not begun: the time of the run is over")
        return _as_text(await calling.within(given, min(marks.timeout_s, left), patient=marks.transactional))

    def told(self, error: Exception) -> tuple[Ending, str]:
        """How an attempt that raised this ended, and what the model is told."""
        marks = marks_of(self.tool)
        after_error: Ending = "failed" if marks.idempotent else "unknown"  # what may be repeated is in no doubt
        if isinstance(error, (ToolFailed, NeverStarted)):
            return "failed", _cut(str(error))
        if isinstance(error, NoAnswer):
            waited = min(marks.timeout_s, self.step.seconds)
            return after_error, f"{self.tool.name} did not answer within {waited:g} s"
        if isinstance(error, Crashed):
            return after_error, _cut(f"{self.tool.name} tried to end the process ({error})")
        return after_error, _cut(f"{type(error).__name__}: {_words(error)}")

    def _speaks_against(self, error: Exception) -> bool:
        """Whether the tool itself is in trouble, not its caller."""
        if isinstance(error, NoAnswer):  # a caller may have less time than the tool needs
            return self.step.seconds >= marks_of(self.tool).timeout_s
        return isinstance(error, (ToolUnavailable, OSError)) or transient(error) is not False


class Unsuccessful(Exception):
    """A transactional attempt that was rolled back: `recorded` is its row, `cause` what the tool raised."""

    def __init__(self, recorded: Recorded, cause: Exception) -> None:
        self.recorded, self.cause = recorded, cause
        super().__init__(str(cause))


def cause_of(error: Exception) -> Exception:
    """What the tool itself raised."""
    return error.cause if isinstance(error, Unsuccessful) else error


def _again(error: Exception, marks: Marks) -> bool | float:
    """Whether to try again: no, yes, or in so many seconds."""
    if isinstance(error, ToolUnavailable):
        return True if error.retry_after_s is None else error.retry_after_s
    if isinstance(error, (ToolFailed, NoAnswer, Crashed)) or not marks.idempotent:
        return False
    return isinstance(error, OSError) or passes(error) or transient(error)


def misfit(registered: BaseTool, given: dict[str, Any]) -> str | None:
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
