"""Marks beside a tool: its risk tier, whether its output is trusted, whether it may be repeated."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool
from psycopg import AsyncConnection

from graph.errors import BadSetting
from graph.extracts import Extract, Facts, Handling
from graph.results import NothingKept, Results
from graph.state import RISKS, Risk

CONTEXT = "context"
"""Name of the parameter, annotated `Injected`, by which a tool receives its ToolContext."""

MARKS = "ballast"
"""Key in a LangChain tool's `metadata` under which its marks are kept."""

ARGUMENTS = "ballast_arguments"
"""Key beside it for the `tools.arguments.Arguments` of a tool without a pydantic schema."""


Raised = tuple[Risk, str] | None
"""A tier at least as high as the declared one, and the reason for it; None when the arguments raise nothing."""

RaiseRisk = Callable[..., Raised | Awaitable[Raised]]
"""Called with a call's arguments by name. An async one may have a parameter `context` for its `RiskContext`.

An error, or no answer within `tools.tiers.LOOKUP_S`, makes the call critical.
"""


Verify = Callable[..., Awaitable[bool | str | None]]
"""Called with a call's arguments by name and `context`, whose `idempotency_key` names the attempt that was cut off.

True or a str: it happened, the str is its result. False: it certainly did not, and no longer can. None: it can't tell;
an error or no answer within the tool's own time counts as None, and a person is asked.
"""


Host = Callable[[Mapping[str, Any]], str | None]
"""The host a call asks, told from its arguments; None when it asks none. It may be given any arguments."""


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
    verify: Verify | None = None
    """Tells whether an attempt that was cut off happened. An idempotent tool needs none: it runs again."""
    timeout_s: float = 60.0
    max_calls: int | None = None
    """Most calls of it in one run; None when only the limit on all tools counts."""
    rate: tuple[int, float] | None = None
    """Most calls of it in so many seconds, over all runs; `BALLAST_RATES` overrules it."""
    at_once: int | None = None
    """Most calls of it in flight together in one run; None when only the limit on all tools counts."""
    host: Host | None = None
    """Which machine a call asks: of those of a run, few ask the same one together."""
    raise_risk: RaiseRisk | None = None
    content: tuple[str, ...] = ()
    """Arguments that are only read by whoever gets them, such as a subject or a body. All others carry authority: they
    say who gets what, and must be shown to come from somebody we trust."""
    records: tuple[str, ...] = ()
    """Arguments that name a record by its id: only a lookup of ours, or an effect, can have given it."""
    structured: bool = False
    """Its result is data whose shape is ours, whoever wrote the texts in it: JSON, never a stranger's text as it is."""
    trusted_fields: tuple[str, ...] = ()
    """Fields of a structured result that nobody outside writes, though its output is untrusted."""
    exits: bool = False
    """A read whose arguments leave the house, such as the address of a page: looked at as those of an effect."""
    handling: Handling = "strict"
    """How its untrusted output reaches the model: the operator's setting, not the tool's."""
    extract: type[Extract] = Facts
    """The form of the extracts that are made of it."""
    source: str = "builtin"
    gone: Callable[[], str | None] | None = None
    """Told at any time: one line why the tool can't be called now, and what to do; None when it can."""

    def __post_init__(self) -> None:
        if self.risk not in RISKS:
            raise BadSetting(f"there is no risk tier {self.risk!r}: use one of {', '.join(RISKS)}")
        if self.at_once is not None and self.at_once < 1:
            raise BadSetting(f"a tool's at_once is 1 or more, not {self.at_once}: leave it out for no limit of its own")
        if self.verify and not inspect.iscoroutinefunction(self.verify):
            raise BadSetting("a tool's verify must be an async function of the call's arguments and its context")

    @property
    def effect(self) -> bool:
        """Whether the ledger records it: everything but low-risk, repeatable reads."""
        return not (self.risk == "low" and self.idempotent)

    def why_gone(self) -> str | None:
        """See `gone`."""
        return self.gone() if self.gone else None


class Lookup(Protocol):
    """What calls did before. `checkpoints/seen.py`."""

    async def seen(self, tool: str, argument: str, value: Any) -> bool:
        """Whether a call of the tool that was done, in any thread, had this value for the argument.

        Spaces and letter case do not matter. Reads are not recorded and texts over 500 characters not found:
        they were never seen.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RiskContext:
    """What a `raise_risk` may look up of its tool."""

    tool: str
    lookup: Lookup

    async def seen(self, argument: str, value: Any) -> bool:
        """See `Lookup.seen`."""
        return await self.lookup.seen(self.tool, argument, value)


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
    results: Results = field(default_factory=NothingKept)
    """What this thread can open again."""
    opens: Sequence[str] = ()
    """Handles of what this branch of it may: see `graph.tools.Step`."""

    @property
    def headers(self) -> dict[str, str]:
        """For the HTTP request that has the effect: `httpx.post(url, headers=context.headers)`.

        A service that knows the Idempotency-Key header does the same effect once, however often it is asked.
        """
        return {"Idempotency-Key": self.idempotency_key} if self.idempotency_key else {}


Injected = Annotated[ToolContext, InjectedToolArg]
"""Annotate a parameter called `context` with this to receive it; the model never sees the parameter."""


def tool(  # noqa: PLR0913 - one keyword a mark
    *,
    risk: Risk,
    untrusted_output: bool,
    idempotent: bool,
    reason: str = "",
    transactional: bool = False,
    verify: Verify | None = None,
    timeout_s: float = 60.0,
    max_calls: int | None = None,
    rate: tuple[int, float] | None = None,
    at_once: int | None = None,
    host: Host | None = None,
    raise_risk: RaiseRisk | None = None,
    content: tuple[str, ...] = (),
    records: tuple[str, ...] = (),
    structured: bool = False,
    trusted_fields: tuple[str, ...] = (),
    exits: bool = False,
    extract: type[Extract] = Facts,
) -> Callable[[Callable[..., Any]], BaseTool]:
    """Turn a function into a LangChain tool with marks; its docstring is what the model reads.

    A plain `def` may block: it runs in a thread of its own.
    """

    def mark(function: Callable[..., Any]) -> BaseTool:
        waits = inspect.iscoroutinefunction(function)
        made = StructuredTool.from_function(
            None if waits else function, coroutine=function if waits else None, parse_docstring=True
        )
        made.metadata = {
            MARKS: Marks(
                risk=risk,
                reason=reason,
                untrusted_output=untrusted_output,
                idempotent=idempotent,
                transactional=transactional,
                verify=verify,
                timeout_s=timeout_s,
                max_calls=max_calls,
                rate=rate,
                at_once=at_once,
                host=host,
                raise_risk=raise_risk,
                content=content,
                records=records,
                structured=structured,
                trusted_fields=trusted_fields,
                exits=exits,
                extract=extract,
            )
        }
        return made

    return mark


def marks_of(registered: BaseTool) -> Marks:
    """The tool's marks; a tool without any is high risk, untrusted and not repeatable."""
    marks = (registered.metadata or {}).get(MARKS)
    return marks if isinstance(marks, Marks) else Marks()
