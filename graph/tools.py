"""What nodes know of tools: what a call is, what it gives, and the one way to run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from langchain_core.tools import BaseTool

from graph.extracts import Extract, Facts, Handling
from graph.state import Call, Risk

AT_ONCE = 8
"""Most calls of a run in flight together."""


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What the tool box says of a call before anything runs."""

    args: dict[str, Any]
    """The arguments, validated and coerced by the tool's schema."""
    risk: Risk
    reason: str
    error: str | None = None
    """Set when the call can't run at all (unknown tool, arguments that do not fit): told to the model."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """What does not fit, by the argument's name."""
    known: bool = True
    """Whether there is such a tool."""
    max_calls: int | None = None
    """Most calls of the tool in a run, as it declares beside itself; None when only the limit on all counts."""


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a tool says of where its values come from and go. The defaults are for one that says nothing."""

    untrusted: bool = True
    """Its output was written by someone outside."""
    gated: bool = True
    """It changes something, or lets data out: each of its arguments must come from somebody we trust."""
    content: tuple[str, ...] = ()
    """Arguments that carry no authority."""
    records: tuple[str, ...] = ()
    """Arguments that name a record by its id."""
    structured: bool = False
    """Its result is JSON whose shape is ours, whoever wrote the texts in it."""
    fields: tuple[str, ...] = ()
    """Fields of a structured result that are trusted, though the rest is not."""
    described_outside: bool = False
    """What it says of itself was written by someone outside, and a model reads it before anything else."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By argument: all texts it can be, where its schema lists them."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """By argument: what it is when the call does not name it. Nobody has to have said that."""
    keys: frozenset[str] = frozenset()
    """Names within its arguments that are its schema's: any other key is a value as what stands under it."""
    handling: Handling = "strict"
    """How what someone outside wrote in it reaches the model."""
    extract: type[Extract] = Facts
    """The form of its extracts."""


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What one call gave."""

    text: str
    untrusted: bool
    """True when the text came from outside and must pass `sanitize` first."""
    ok: bool = True
    reused: bool = False
    """True when the ledger had the result: nothing ran."""
    doubt: str | None = None
    """Set when the call may or may not have had its effect, and only a person can tell: the ledger's key of it."""
    holder: str = ""
    """Whose attempt at the effect it was."""
    whole: str | None = None
    """The handle of the whole, when the text was too long and is a part of it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where the calls of one step run, and how long they may take."""

    thread_id: str
    workspace: Path
    claim: int | None = None
    """See `graph.context.Run.claim`."""
    lasting: bool = True
    """False in a run without a thread: nothing it keeps could be found again, or would ever be deleted."""
    opens: Sequence[str] = ()
    """Handles of the results that may be opened again, the newest last: what this branch of the thread has read."""
    seconds: float = float("inf")
    """What the run's limit on time leaves when the step begins."""
    begun: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Seconds a call that begins now may take; below 0 when it is too late to begin."""
        return self.seconds - (time.monotonic() - self.begun)


class Tools(Protocol):
    """The registered tools and the one way to run them. `tools/registry.py`, `tools/execute.py`."""

    def offered(self) -> Sequence[BaseTool]:
        """The tools to show the model, in a stable order."""
        ...

    async def assess(self, name: str, args: Mapping[str, Any]) -> Assessment:
        """Validate a call and give its risk tier now. Unknown and unmarked tools fail closed."""
        ...

    def intent(self, name: str, args: Mapping[str, Any]) -> str | None:
        """Digest of an effect's tool and canonical arguments; None for a pure read."""
        ...

    def trust(self, name: str) -> Trust:
        """What the tool says of where values come from and go; the strictest of one that is not known."""
        ...

    def vouched(self, name: str, argument: str, value: Any, shown: Callable[[str], bool]) -> str | None:
        """The name of what the operator declared this argument may come from and the value is of; None for no such.

        `shown`: whether a text that is a part of it is shown to come from somebody trusted.
        """
        ...

    def bounds(self, name: str, args: Mapping[str, Any]) -> Mapping[str, int]:
        """Most calls of a run in flight together, by what this one shares with others: its tool, its host."""
        ...

    async def run(self, call: Call, step: Step, *, occurrence: int) -> ToolResult:
        """Run one allowed call through the effect ledger. Never raises for what a tool does."""
        ...

    async def earlier(self, call: Call, step: Step, *, occurrence: int) -> ToolResult | None:
        """What the ledger has of a call that can't run now (its tool is gone, say); None when it has nothing."""
        ...
