"""What a run may spend: each model call is reserved at its worst, made, and settled at what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one or more model calls cost, or may cost at most."""

    calls: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompt and reply together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, kw_only=True)
class Left:
    """What the run's own limits leave."""

    tokens: int
    usd: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a thread something is spent: a node that is executed again after a crash stands at the same place."""

    thread_id: str
    """Empty for a run without a thread: nothing of it is executed again."""
    checkpoint_id: str
    node: str
    claim: int | None = None
    """See `graph.context.Run.claim`."""


class Reservation(Protocol):
    """A call that is charged at its worst until it is settled."""

    def settle(self, actual: Spent) -> None:
        """Charge what it really cost instead."""
        ...


class Budget(Protocol):
    """What a node may spend. `services/budget.py`."""

    def left(self) -> Left:
        """What no call has reserved or spent yet."""
        ...

    async def reserve(self, worst: Spent) -> Reservation:
        """Set the worst case of a call aside before it is made; holds among all that spend at the same time.

        Raises:
            LimitReached: a limit of the run, or of its tenant today, leaves no room for it. Nothing is charged.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """What is set aside for a call."""

    worst: Spent
    day: date
    """Whose money it is (UTC, the database's clock), also when the call ends after midnight."""
    before: Spent
    """What was set aside or spent at the same place before, by this execution of it and those that were cut off."""


class Spending(Protocol):
    """What all processes spend, by tenant and day. `checkpoints/spending.py`."""

    async def reserve(self, worst: Spent, place: Place, *, tenant: str) -> Reserved:
        """Set a call's worst case aside for the tenant's day.

        Raises:
            LimitReached: the tenant's day has no room for it.
            ThreadTaken: another process runs the thread now.
        """
        ...

    async def before(self, place: Place) -> Spent:
        """What is set aside or spent at this place."""
        ...

    async def settle(
        self, actual: Sequence[tuple[Reserved, Spent]], place: Place, *, tenant: str, tool_calls: int = 0
    ) -> None:
        """Charge what these calls at `place` really cost instead, and count tool calls that are about to run.

        Raises:
            LimitReached: the tenant's day has no room for all of the tool calls; none is counted, what the model
                calls cost is charged all the same.
        """
        ...
