"""A run's budget without a database behind it: for tests of those who spend."""

from __future__ import annotations

from typing import Any

from benchmarks.costs import Unlimited
from graph.budget import Place, Spending, Spent
from graph.context import LocalContext
from graph.state import Totals, no_usage
from services.budget import RunBudget
from services.clock import FixedClock
from services.totals import no_totals


def budget(spending: Spending | None = None, *, earlier: Totals | None = None, **limits: Any) -> RunBudget:
    """The budget of a run that has spent nothing yet."""
    place = Place(thread_id="t", checkpoint_id="c", node="n")
    limited = LocalContext(**{"max_usd": 10_000, "max_tokens": 100_000_000, **limits})
    return RunBudget(
        limits=limited,
        usage=no_usage(),
        earlier=earlier or no_totals(),
        place=place,
        spending=spending or Unlimited(),
        clock=FixedClock(),
    )


def spent_of(one: RunBudget) -> Spent:
    """What the run was charged."""
    usage = one.usage
    return Spent(
        calls=usage["model_calls"],
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        cost_usd=usage["cost_usd"],
    )
