"""What a run is given: the context a client may set, and the services nodes use.

Nodes receive a `Run` as `runtime.context`. The server publishes `Context` as the graph's context schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, field_validator

from graph.approvals import Approvals
from graph.state import Call, Risk, State

KEEP_TOOL_RESULTS = 5


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
    max_tokens: int = Field(
        200_000, title="Tokens", description="Most tokens, prompt and reply together.", ge=1, le=100_000_000
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
    keep_tool_results: int = Field(
        KEEP_TOOL_RESULTS,
        title="Whole tool results",
        description="The last N tool results stay whole; older ones are folded into a summary.",
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


class LocalContext(Context):
    """A context from this machine's own command line, which may also choose the workspace."""

    workspace: Path = Field(Path("examples/office"), validate_default=True)

    @field_validator("workspace")
    @classmethod
    def _from_anywhere(cls, workspace: Path) -> Path:
        """Absolute, so that a thread finds it again from another folder."""
        return workspace.absolute()

    def kept(self) -> dict[str, Any]:
        """The fields a thread keeps, as JSON. A subclass's other settings (secrets) are not among them."""
        return self.model_dump(mode="json", include=set(LocalContext.model_fields))


Role = Literal["agent", "summarizer"]
"""What a model is asked as. Later: planner, extractor, judge."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one or more model calls cost."""

    calls: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    """None when the price is not known."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A model's answer and what all attempts to get it cost."""

    message: AIMessage
    model: str
    """The member of the chain that answered, as written in the chain."""
    spent: Spent
    failures: tuple[str, ...] = ()
    """One line for each model that failed before this one answered."""


class Models(Protocol):
    """The model chain. `services/models.py`."""

    async def complete(
        self,
        chain: str,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[BaseTool] = (),
        role: Role = "agent",
        turn: int = 0,
    ) -> Reply:
        """Ask the chain's models in order until one answers. `turn` counts from 0.

        Raises:
            ModelFailed: all of them failed; `spent` on the error says what that cost.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What the tool box says of a call before anything runs."""

    args: dict[str, Any]
    """The arguments, validated and coerced by the tool's schema."""
    risk: Risk
    reason: str
    error: str | None = None
    """Set when the call can't run at all (unknown tool, arguments that do not fit): told to the model."""


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


class Tools(Protocol):
    """The registered tools and the one way to run them. `tools/registry.py`, `tools/execute.py`."""

    def offered(self) -> Sequence[BaseTool]:
        """The tools to show the model, in a stable order."""
        ...

    def assess(self, name: str, args: Mapping[str, Any]) -> Assessment:
        """Validate a call and give its risk tier. Unknown and unmarked tools fail closed."""
        ...

    def intent(self, name: str, args: Mapping[str, Any]) -> str | None:
        """Digest of an effect's tool and canonical arguments; None for a pure read."""
        ...

    async def run(self, call: Call, *, thread_id: str, occurrence: int, workspace: Path) -> ToolResult:
        """Run one allowed call through the effect ledger. Never raises for what a tool does."""
        ...

    async def earlier(self, call: Call, *, thread_id: str, occurrence: int) -> ToolResult | None:
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
    clock: Clock
    defaults: LocalContext = field(default_factory=LocalContext)
    """What the environment sets."""
    telemetry: Telemetry = field(default_factory=Untraced)


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

    def answer_to(self, interrupt_id: str) -> Any:
        """The answer this invocation came with for that interrupt; None when there is none."""
        return self.answers.get(interrupt_id, self.bare_answer)

    def settings(self) -> dict[str, Any]:
        """What a new input writes to the thread's `settings`."""
        return {"defaults": self.services.defaults.kept(), "explicit": self.explicit}

    def context(self, state: State | dict[str, Any]) -> LocalContext:
        """This run's settings: explicit, else kept with the thread, else the environment's."""
        return LocalContext(**{**self.services.defaults.kept(), **state.get("settings", {}), **self.explicit})
