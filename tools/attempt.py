"""One try at a tool: within its time, its rate limit and its breaker, and what comes of it as text."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from langchain_core.tools import BaseTool
from pydantic import BaseModel

from checkpoints.ledger import Ending, Recorded, storable
from checkpoints.outage import passes
from graph.errors import ToolFailed, ToolUnavailable
from graph.results import WHOLE_CHARS, NothingKept, Results, Whole
from graph.tools import Step
from services.endpoints import Endpoints
from services.faults import transient
from services.refusals import NeverStarted
from services.relevance import cut
from services.visible_html import looks_like_html, read_html
from tools.base import CONTEXT, Marks, marks_of
from tools.calling import Calling, Crashed, NoAnswer

T = TypeVar("T")

MAX_CHARS = 100_000
"""Longest result that goes on as it is, in characters. Of a longer one the whole is kept apart."""

LONGER = '[cut: {more} more characters; open_result(handle="{handle}") opens the whole in parts, or searches in it]'

_LONGER = re.compile(r'\[cut: \d+ more characters; open_result\(handle="(r-[0-9a-f]{12})"\) [^\]\n]{0,100}\]\Z')


class OutOfTime(ToolFailed):
    """The run's time was over before the call began."""


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The way to one tool within one step."""

    endpoints: Endpoints
    tool: BaseTool
    step: Step
    results: Results = field(default_factory=NothingKept)

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
        value = await calling.within(given, min(marks.timeout_s, left), patient=marks.transactional)
        text = plain(_as_text(value))
        return text if len(text) <= MAX_CHARS else await self._bounded(text, given)

    async def _bounded(self, text: str, given: dict[str, Any]) -> str:
        """Of a text that is too long what has to do with the arguments, and a handle to the whole."""
        if not self.step.lasting:
            return _cut(text)
        query = " ".join(str(value) for name, value in given.items() if name != CONTEXT)
        read = text[:WHOLE_CHARS]
        whole, parts = await asyncio.to_thread(_split, read, query, untrusted=marks_of(self.tool).untrusted_output)
        kept = Whole(tool=self.tool.name, text=whole)
        try:
            stored = await self.results.keep(self.step.thread_id, [kept], claim=self.step.claim)
        except Exception:  # noqa: BLE001 - what the tool did is done, also when its result can't be stored (any more)
            stored = False
        if not stored:
            return _cut(text)
        return f"{parts}\n{LONGER.format(more=len(text) - len(parts), handle=kept.handle)}"

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


def plain(text: str) -> str:
    """What a tool gave, so that it does not end as what we cut does: whoever wrote it may name any handle."""
    return f"{text}\n" if whole_of(text) else text


def whole_of(text: str) -> str | None:
    """The handle at the end of the result of a call that is done, when it is a part that we cut of a whole."""
    found = _LONGER.search(text, max(0, len(text) - 2 * len(LONGER)))
    return found[1] if found else None


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
    return str(value)


def _split(text: str, query: str, *, untrusted: bool) -> tuple[str, str]:
    """The whole as it is kept, and what goes on of it.

    Of a page from outside a reader's view is kept: a part of its markup alone would not tell what is hidden. Its
    beginning goes on as it came, to be looked through for what is.
    """
    if untrusted and looks_like_html(text):
        return storable(read_html(text).shown), text[:MAX_CHARS]
    return storable(text), cut(text, query, MAX_CHARS)


def _words(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - as above
        return f"[{type(value).__name__} that can't be shown: {type(error).__name__}]"


def _cut(text: str) -> str:
    more = len(text) - MAX_CHARS
    return f"{text[:MAX_CHARS]}\n[cut: {more} more characters]" if more > 0 else text
