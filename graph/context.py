"""What a run is given: the context a client may set, and the services nodes use.

Nodes receive a `Run` as `runtime.context`. The server publishes `Context` as the graph's context schema.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, field_validator

from graph.approvals import Approvals
from graph.budget import Spending
from graph.models import Models
from graph.records import RunRecords
from graph.results import NothingKept, Results
from graph.state import Call, Risk, State

KEEP_TOOL_RESULTS, FOLD_SHARE = 5, 0.5


class Context(BaseModel):
    """Per-run settings: a Studio form, a `context` object, flags, or `BALLAST_*` variables.

    An explicit value wins over what the thread was started with, that over the environment, and that
    over the default.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str = Field(
        "offline",
        title="Model chain",
        description="Comma-separated models, first healthy one wins: openai:NAME, scripted:FILE.yaml, offline.",
        min_length=1,
        max_length=500,
    )
    max_iterations: int = Field(25, title="Iterations", description="Most passes through the model.", ge=1, le=10_000)
    max_tool_calls: int = Field(50, title="Tool calls", description="Most tool calls.", ge=1, le=100_000)
    tool_limits: str = Field(
        "",
        title="Calls of single tools",
        description="Most calls of a tool in a run, below the limit on all: send_email=3,fetch_url=10.",
        max_length=2_000,
    )
    max_tokens: int = Field(
        200_000, title="Tokens", description="Most tokens, prompt and reply together.", ge=1, le=100_000_000
    )
    max_reply_tokens: int = Field(
        16_384,
        title="Reply (tokens)",
        description="Longest reply of a model. A call is only made when the limits leave room for it at this length, "
        "or for a shorter one that is asked for instead.",
        ge=16,
        le=1_000_000,
    )
    max_usd: float = Field(
        1.0, title="Cost (USD)", description="Most money for model calls, in US dollars.", gt=0, le=10_000
    )
    max_seconds: float = Field(
        900.0,
        title="Seconds",
        description="Most time in nodes, in seconds. Waiting for a person is free.",
        gt=0,
        le=604_800,
    )
    fold_share: float = Field(
        FOLD_SHARE,
        title="Fold at (part of the window)",
        description="A prompt that would take more of the model's window has its history folded: the last "
        f"{KEEP_TOOL_RESULTS} tool results stay whole as far as they fit, older ones become a list of facts.",
        ge=0.05,
        le=0.95,
    )
    window_tokens: int | None = Field(
        None,
        title="Window (tokens)",
        description="What the smallest model of the chain can read. Empty: as the bundled list has it, else 128,000.",
        ge=4_096,
        le=100_000_000,
    )
    keep_tool_results: int | None = Field(
        None,
        title="Whole tool results",
        description="When set, the last N tool results stay whole and older ones are folded at once, however short.",
        ge=1,
        le=10_000,
    )
    approval_seconds: int = Field(
        300,
        title="Approval window (seconds)",
        description="How long a medium-risk action waits before it goes out.",
        ge=1,
        le=604_800,
    )

    @field_validator("tool_limits")
    @classmethod
    def _readable(cls, text: str) -> str:
        limits_by_tool(text)
        return text


def limits_by_tool(text: str) -> dict[str, int]:
    """Read `NAME=N,...`.

    Raises:
        ValueError: a part that does not read so, or a number below 0.
    """
    limits = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        if not name.strip() or not number.strip().isdecimal() or name.strip() in limits:
            raise ValueError(f"NAME=N,... with whole numbers from 0, each NAME once, not {part!r}")
        limits[name.strip()] = int(number)
    return limits


class LocalContext(Context):
    """A context from this machine's own command line, which may also choose the workspace and the tenant."""

    workspace: Path = Field(Path("examples/office"), validate_default=True)
    tenant: str = Field("default", max_length=200)
    """Whose day a run's money and tool calls count in."""

    @field_validator("tenant")
    @classmethod
    def _readable_name(cls, tenant: str) -> str:
        if not tenant.strip() or not tenant.isprintable():
            raise ValueError("1 to 200 printable characters")
        return tenant

    @field_validator("workspace")
    @classmethod
    def _from_anywhere(cls, workspace: Path) -> Path:
        """Absolute, so that a thread finds it again from another folder."""
        return workspace.absolute()

    def kept(self) -> dict[str, Any]:
        """The fields a thread keeps, as JSON. A subclass's other settings (secrets) are not among them."""
        return self.model_dump(mode="json", include=set(LocalContext.model_fields))


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


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where the calls of one step run, and how long they may take."""

    thread_id: str
    workspace: Path
    claim: int | None = None
    """See `Run.claim`."""
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

    async def run(self, call: Call, step: Step, *, occurrence: int) -> ToolResult:
        """Run one allowed call through the effect ledger. Never raises for what a tool does."""
        ...

    async def earlier(self, call: Call, step: Step, *, occurrence: int) -> ToolResult | None:
        """What the ledger has of a call that can't run now (its tool is gone, say); None when it has nothing."""
        ...


class Clock(Protocol):
    """Time, so that tests can move it."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary point, never going back."""
        ...


class Telemetry(Protocol):
    """Facts for whoever reads the trace later. `services/telemetry.py`.

    Both take JSON-shaped values, replace a value given before under the same name, and never raise.
    """

    def annotate(self, **metadata: Any) -> None:
        """Attach metadata to the node that runs now: its tier decisions, tokens, cost."""
        ...

    def annotate_run(self, **metadata: Any) -> None:
        """Attach metadata to the whole run: its outcome and totals."""
        ...


class Untraced:
    """Telemetry when nothing is traced."""

    def annotate(self, **metadata: Any) -> None:
        """Drop it."""

    def annotate_run(self, **metadata: Any) -> None:
        """Drop it."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """What nodes are handed. Built once a process in `app/lifespan.py`; a test replaces one."""

    models: Models
    tools: Tools
    approvals: Approvals
    spending: Spending
    records: RunRecords
    clock: Clock
    defaults: LocalContext = field(default_factory=LocalContext)
    """What the environment sets."""
    telemetry: Telemetry = field(default_factory=Untraced)
    results: Results = field(default_factory=NothingKept)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a node finds in `runtime.context`."""

    services: Services
    explicit: dict[str, Any] = field(default_factory=dict)
    """The context fields this invocation set itself."""
    durable: bool = True
    """False on a run without a thread: nothing can wait in it."""
    answers: Mapping[str, Any] = field(default_factory=dict)
    """The answers this invocation came with, by interrupt id."""
    bare_answer: Any = None
    """An answer that names no interrupt; None when there is none."""
    unclear: str = ""
    """Why the bare answer can't be taken: it could mean another question. Empty when it can."""
    claim: int | None = None
    """The token every write of this run is checked against (`checkpoints/claims.py`); None without a thread."""

    _checked: list[tuple[dict[str, Any], LocalContext]] = field(default_factory=list, repr=False, compare=False)
    """The settings the thread had last, and what they came to: nodes ask at every step, and they hardly change."""

    def answer_to(self, interrupt_id: str) -> Any:
        """The answer this invocation came with for that interrupt; None when there is none."""
        return self.answers.get(interrupt_id, self.bare_answer)

    def settings(self) -> dict[str, Any]:
        """What a new input writes to the thread's `settings`."""
        return {"defaults": self.services.defaults.kept(), "explicit": self.explicit}

    def context(self, state: State | dict[str, Any]) -> LocalContext:
        """This run's settings: explicit, else kept with the thread, else the environment's."""
        kept = state.get("settings", {})
        if not self._checked or self._checked[0][0] != kept:
            self._checked[:] = [(kept, LocalContext(**{**self.services.defaults.kept(), **kept, **self.explicit}))]
        return self._checked[0][1]
