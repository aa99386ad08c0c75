"""What all runs of a thread may spend together holds for calls that are made side by side, beside the run's limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graph.budget import Spent
from graph.context import Context
from graph.errors import LimitReached
from graph.state import Totals
from services.budget import thread_tokens, thread_usd
from services.totals import no_totals
from tests.budgets import budget

SPENT: Totals = {**no_totals(), "runs": 3, "prompt_tokens": 500, "completion_tokens": 100, "cost_usd": 0.6}
DIME = Spent(prompt_tokens=60, completion_tokens=40, cost_usd=0.1)


@pytest.mark.parametrize(
    ("limits", "outcome", "why"),
    [
        (
            {"max_thread_usd": 1.0},
            "stopped_cost",
            "cost of the thread: 1.0000 USD spent of 1, the next call may take 0.1",
        ),
        ({"max_thread_tokens": 1_000}, "stopped_tokens", "tokens of the thread: 1000 used of 1000, the next"),
    ],
)
async def test_calls_side_by_side_get_what_the_runs_before_left(limits: dict[str, Any], outcome: str, why: str) -> None:
    spends = budget(earlier=SPENT, **limits)

    ended = await asyncio.gather(*(spends.reserve(DIME) for _ in range(10)), return_exceptions=True)

    refused = [one for one in ended if isinstance(one, LimitReached)]
    assert (len(ended) - len(refused), {one.outcome for one in refused}) == (4, {outcome})
    for one in ended:
        if not isinstance(one, BaseException):
            one.settle(DIME)
    with pytest.raises(LimitReached) as reached:
        await spends.reserve(DIME)
    assert reached.value.why.startswith(why)


async def test_the_runs_own_limit_is_named_when_it_is_the_lower_one() -> None:
    spends = budget(earlier=SPENT, max_usd=0.05, max_tokens=50, max_thread_usd=1.0, max_thread_tokens=1_000)

    with pytest.raises(LimitReached, match="tokens: 0 used of 50,"):
        await spends.reserve(DIME)
    with pytest.raises(LimitReached, match=r"cost: 0.0000 USD spent of 0.05,"):
        await spends.reserve(Spent(cost_usd=0.1))


async def test_a_limit_that_was_lowered_below_what_is_spent_lets_nothing_more_through() -> None:
    spends = budget(earlier=SPENT, max_thread_usd=0.5)

    with pytest.raises(LimitReached, match=r"cost of the thread: 0.6000 USD spent of 0.5"):
        await spends.reserve(Spent())


@pytest.mark.parametrize(
    ("limits", "tokens", "usd"),
    [
        ({}, 10_000_000, 50.0),
        ({"max_tokens": 10, "max_usd": 0.01}, 10_000_000, 50.0),
        ({"max_tokens": 1_000_000, "max_usd": 80}, 50_000_000, 4_000.0),
        ({"max_tokens": 1_000_000, "max_usd": 80, "max_thread_tokens": 7, "max_thread_usd": 0.5}, 7, 0.5),
    ],
)
def test_a_thread_without_limits_of_its_own_has_room_for_50_full_runs(
    limits: dict[str, Any], tokens: int, usd: float
) -> None:
    assert (thread_tokens(Context(**limits)), thread_usd(Context(**limits))) == (tokens, usd)
