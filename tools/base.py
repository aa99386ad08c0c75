"""Marks beside a tool: its risk tier, whether its output is trusted, whether it may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool
from psycopg import AsyncConnection

from graph.errors import BadSetting
from graph.state import RISKS, Risk

CONTEXT = "context"
"""Name of the parameter, annotated `Injected`, by which a tool receives its ToolContext."""

MARKS = "ballast"
"""Key in a LangChain tool's `metadata` under which its marks are kept."""


RaiseRisk = Callable[..., tuple[Risk, str] | None]
"""Called with a call's arguments by name; returns a higher tier and the reason for it, or None."""


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What Ballast needs to know about a tool. The defaults are for a tool that says nothing: fail closed."""

    risk: Risk = "high"
    reason: str = "the tool declares no risk tier"
    """Shown to the person who is asked: why this tier."""
    untrusted_output: bool = True
    """Its output was written by someone outside: cleaned before the model sees it."""
    idempotent: bool = False
    """Running it again changes nothing more."""
    transactional: bool = False
    """Its effect is a write to our own Postgres through `ToolContext.database`: effect and ledger row
    commit together."""
    timeout_s: float = 60.0
    max_calls: int | None = None
    """Most calls of it in one run; None when only the limit on all tools counts."""
    raise_risk: RaiseRisk | None = None
    source: str = "builtin"

    def __post_init__(self) -> None:
        if self.risk not in RISKS:
            raise BadSetting(f"there is no risk tier {self.risk!r}: use one of {', '.join(RISKS)}")

    @property
    def effect(self) -> bool:
        """Whether the ledger records it: everything but low-risk, repeatable reads."""
        return not (self.risk == "low" and self.idempotent)


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """What a tool may use of its surroundings. Hidden from the model."""

    workspace: Path
    """Root of the file tools; nothing outside it can be reached."""
    thread_id: str
    idempotency_key: str
    """The same for every attempt at the same effect: pass it on to the service that is called."""
    database: Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
    """A connection; for a transactional tool the one whose transaction holds the ledger row."""
    smtp_url: str | None = None


Injected = Annotated[ToolContext, InjectedToolArg]
"""Annotate a parameter called `context` with this to receive it; the model never sees the parameter."""


def tool(  # noqa: PLR0913 - one keyword a mark
    *,
    risk: Risk,
    untrusted_output: bool,
    idempotent: bool,
    reason: str = "",
    transactional: bool = False,
    timeout_s: float = 60.0,
    max_calls: int | None = None,
    raise_risk: RaiseRisk | None = None,
) -> Callable[[Callable[..., Any]], BaseTool]:
    """Turn an async function into a LangChain tool with marks; its docstring is what the model reads."""

    def mark(function: Callable[..., Any]) -> BaseTool:
        made = StructuredTool.from_function(coroutine=function, parse_docstring=True)
        made.metadata = {
            MARKS: Marks(
                risk=risk,
                reason=reason,
                untrusted_output=untrusted_output,
                idempotent=idempotent,
                transactional=transactional,
                timeout_s=timeout_s,
                max_calls=max_calls,
                raise_risk=raise_risk,
            )
        }
        return made

    return mark


def marks_of(registered: BaseTool) -> Marks:
    """The tool's marks; a tool without any is high risk, untrusted and not repeatable."""
    marks = (registered.metadata or {}).get(MARKS)
    return marks if isinstance(marks, Marks) else Marks()
