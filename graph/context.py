"""What a run is given: the context a client may set, and the services nodes use.

Nodes receive a `Run` as `runtime.context`. The server publishes `Context` as the graph's context schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel, ConfigDict, Field, field_validator

from graph.approvals import Approvals
from graph.budget import Spending
from graph.guards import Guards, Unguarded
from graph.models import Models
from graph.records import RunRecords, Unstored, Writes
from graph.results import NothingKept, Results
from graph.state import State
from graph.tools import AT_ONCE, Tools

KEEP_TOOL_RESULTS, FOLD_SHARE = 5, 0.2

UnprovenContent = Literal["show", "ask"]
"""What becomes of a call whose content can't be shown to come from somebody we trust: tier medium, or high."""

EXPLICIT = "ballast_explicit"
"""Where a config's `configurable` holds what its invocation set itself: routers, handed no Run, look there."""

NOTHING_SET: RunnableConfig = {}
"""The config of who calls a router without one."""

FULL_RUNS, THREAD_TOKENS, THREAD_USD = 50, 10_000_000, 50.0
"""A thread that names no limits of its own has room for so many runs at theirs, and at least for so much."""


def _may_be_left_out(schema: dict[str, Any]) -> None:
    """Publish an optional number as a number with its bounds: forms can't show a choice of types."""
    schema |= schema.pop("anyOf")[0]


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
    max_thread_tokens: int | None = Field(
        None,
        title="Tokens of the thread",
        description="Most tokens of all runs of the thread together. Empty: 50 times a run's, 10 million at least.",
        ge=1,
        le=1_000_000_000_000,
        json_schema_extra=_may_be_left_out,
    )
    max_thread_usd: float | None = Field(
        None,
        title="Cost of the thread (USD)",
        description="Most money of all runs of the thread together. Empty: 50 times a run's, 50 USD at least.",
        gt=0,
        le=1_000_000,
        json_schema_extra=_may_be_left_out,
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
        description="What the smallest model of the chain reads. Empty: as the bundled list has it, at most 128,000.",
        ge=4_096,
        le=100_000_000,
        json_schema_extra=_may_be_left_out,
    )
    keep_tool_results: int | None = Field(
        None,
        title="Whole tool results",
        description="When set, the last N tool results stay whole and older ones are folded at once, however short.",
        ge=1,
        le=10_000,
        json_schema_extra=_may_be_left_out,
    )
    approval_seconds: int = Field(
        300,
        title="Approval window (seconds)",
        description="How long a medium-risk action waits before it goes out.",
        ge=1,
        le=604_800,
    )
    unproven_content: UnprovenContent = Field(
        "show",
        title="Content of unknown origin",
        description="A call whose subject or text may be a stranger's: show it, and let it go out at its deadline "
        "unless somebody cancels it, or ask first.",
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
    writes: Writes = field(default_factory=Unstored)
    results: Results = field(default_factory=NothingKept)
    guards: Guards = field(default_factory=Unguarded)
    extractor: str | None = None
    """The model chain that makes extracts; None for the run's own."""


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
    at_once: int = AT_ONCE
    """Most calls of this run in flight together: fewer when the caller's `max_concurrency` says so."""
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
            usual = self.services.defaults.kept()
            chosen = {**usual, **kept, **self.explicit}
            if usual["unproven_content"] == "ask":  # the operator's: no run asks less
                chosen["unproven_content"] = "ask"
            self._checked[:] = [(kept, LocalContext(**chosen))]
        return self._checked[0][1]
