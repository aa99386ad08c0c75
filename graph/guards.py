"""Guards: checks that may stop a text, or take something out of it, and what they have seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from typing_extensions import TypedDict  # typing's own has no schema before Python 3.12

from graph.budget import Budget

Stage = Literal["input", "content", "output", "arguments"]
"""What is checked: a person's request before any model reads it; what a tool read before a model sees it; the answer
before it is stored; the arguments of a gated call before it runs or is asked about."""

STAGES: tuple[Stage, ...] = ("input", "content", "output", "arguments")


class Finding(TypedDict):
    """What the detector or a guard has seen in a text, or did about it."""

    tool: str
    """Whose result or arguments it is about; `request` or `answer` for those."""
    call_id: str
    rule: str
    """Which rule of the detector fired, or `guard NAME`."""
    excerpt: str
    """The words it fired on, or what the guard says, at most 120 characters."""


def add_findings(known: list[Finding] | None, new: list[Finding]) -> list[Finding]:
    """Findings only ever gather."""
    return [*(known or []), *new]


class Guarded(TypedDict, total=False):
    """The part of a run's state that guards keep."""

    guarded: str
    """Id of the newest request that was checked: a resume checks none again."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A text that is checked."""

    stage: Stage
    text: str
    """Content: cleaned, as the model will see it. Arguments: JSON."""
    raw: str = ""
    """Content before it was cleaned; empty for all else."""
    tool: str = ""
    """Of content and arguments."""
    request: str = ""
    """What the person wrote last; on input the text itself."""

    @property
    def said_by_us(self) -> bool:
        """Whether the agent wrote it, not somebody it listens to or reads."""
        return self.stage in ("output", "arguments")


@dataclass(frozen=True)
class Allowed:
    """Nothing speaks against the text."""


@dataclass(frozen=True)
class Denied:
    """The text goes no further."""

    reason: str
    """One line for people and the model; cut at 200 characters."""


@dataclass(frozen=True)
class Redacted:
    """The text goes on without a part. A request or arguments can't be rewritten: there it counts as denied."""

    text: str
    what: str
    """What was taken out, in words: `2 card numbers`."""


Verdict = Allowed | Denied | Redacted


class Guard(Protocol):
    """One check. A class of your own is named as `package.module:Class`; it is made once, without arguments.

    An error, a verdict that is none or no verdict in time: the guard is failing.
    """

    async def check(self, seen: Seen, *, budget: Budget) -> Verdict:
        """The verdict on this text. A model that costs something is paid from `budget`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What a chain of guards came to."""

    text: str
    """The text as it may go on."""
    denied: str = ""
    """Why it may not: the guard, and its reason. Empty when it may."""
    notes: tuple[tuple[str, str], ...] = ()
    """(guard, what else it did): took something out, or failed and was passed over."""


class Guards(Protocol):
    """The chain of each stage. `services/guards/chain.py`."""

    def on(self, stage: Stage) -> bool:
        """Whether anything is checked there."""
        ...

    async def check(self, seen: Seen, *, low: bool, budget: Budget) -> Ruling:
        """Ask each guard of the stage in order. Never raises for what a guard does.

        `low`: nothing above the lowest tier is at stake.
        """
        ...


class Unguarded:
    """No guards."""

    def on(self, stage: Stage) -> bool:  # noqa: ARG002 - as the protocol has it
        """Nothing is checked."""
        return False

    async def check(self, seen: Seen, *, low: bool, budget: Budget) -> Ruling:  # noqa: ARG002 - as above
        """Let it pass."""
        return Ruling(text=seen.text)
