"""What limits, the ledger and the quarantine cost: Ballast beside itself without them, in turn, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date
from uuid import uuid4

from benchmarks.ours import Parts, open_ours
from benchmarks.peer import Run
from benchmarks.subject import letter
from graph.budget import Place, Reserved, Spent
from tools.base import Marks

ROUNDS, ITERATIONS = 20, 25
EFFECT = Marks(risk="low", untrusted_output=False, idempotent=False)
OUTSIDE = Marks(risk="low", untrusted_output=True, idempotent=True)


class Unlimited:
    """`graph.budget.Spending` that keeps no accounts."""

    async def reserve(self, worst: Spent, place: Place, *, tenant: str) -> Reserved:
        """Everything fits."""
        del place, tenant
        return Reserved(worst=worst, day=date.min, before=Spent(calls=0))

    async def before(self, place: Place) -> Spent:
        """Nothing was spent."""
        del place
        return Spent(calls=0)

    async def settle(
        self, actual: Sequence[tuple[Reserved, Spent]], place: Place, *, tenant: str, tool_calls: int = 0
    ) -> None:
        """Nothing is charged."""


@dataclass(kw_only=True)
class Costs:
    """Milliseconds an iteration, an entry a round."""

    without: list[float] = field(default_factory=list)
    """Reads, no accounts."""
    reads: list[float] = field(default_factory=list)
    """Reads, with all limits."""
    effects: list[float] = field(default_factory=list)
    """Effects, each through the ledger, with all limits."""
    letters: list[float] = field(default_factory=list)
    """Reads of 10 KB from a source we trust."""
    outside: list[float] = field(default_factory=list)
    """The same from outside: cleaned, searched for orders, put in quarantine; the extractor takes no time."""

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Of the table: medians of the differences round by round."""
        share = statistics.median(b / a - 1 for a, b in zip(self.without, self.reads, strict=True))
        effect = statistics.median(b - a for a, b in zip(self.reads, self.effects, strict=True))
        untrusted = statistics.median(b - a for a, b in zip(self.letters, self.outside, strict=True))
        return [
            ("limits, part of an iteration of reads", "", f"{share:.0%}", "15% or less"),
            ("the ledger, ms for an effect", "", f"{effect:.2f}", "2 or less"),
            ("10 KB from outside, ms more than from a trusted tool", "", f"{untrusted:.2f}", "5 or less"),
        ]


async def costs(url: str) -> Costs:
    """Measure in turn, in short rounds, so that a slow moment of the machine falls on all."""
    found = Costs()
    async with AsyncExitStack() as stack:
        parts = (
            (found.without, Parts(spending=lambda _: Unlimited())),
            (found.reads, Parts()),
            (found.effects, Parts(marks=EFFECT)),
            (found.letters, Parts(tool=letter)),
            (found.outside, Parts(tool=letter, marks=OUTSIDE)),
        )
        runs: list[tuple[list[float], Run]] = []
        for figures, part in parts:
            runs.append((figures, await stack.enter_async_context(open_ours(url, 4, part))))
        for round_number in range(ROUNDS + 1):
            for figures, run in runs:
                started = time.perf_counter()
                await run(uuid4().hex, ITERATIONS)
                if round_number:  # the first one fills caches
                    figures.append(1_000 * (time.perf_counter() - started) / ITERATIONS)
    return found
