"""A run's limits hold for any number of calls that reserve and settle at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.costs import Unlimited
from graph.budget import Place, Reserved, Spent
from graph.context import LocalContext
from graph.errors import LimitReached
from graph.state import no_usage
from services.budget import ROUNDING, RunBudget
from services.clock import FixedClock
from tests.budgets import budget, spent_of

NOTHING = Spent(calls=0)
MAX_TOKENS, MAX_USD = 1_000, 0.3
FULL = Spent(prompt_tokens=60, completion_tokens=40, cost_usd=0.03)
"""Ten of these meet both limits exactly."""


@dataclass(kw_only=True)
class Yielding(Unlimited):
    """Lets others run before each answer, as a database does, and looks on."""

    look: Callable[[], None] = lambda: None
    pauses: Sequence[int] = (1,)
    lost: Spent = NOTHING
    refuses: frozenset[int] = frozenset()
    """Numbers of the reservations for which the tenant's day has no room."""
    reserved: list[Spent] = field(default_factory=list)
    settled: list[Spent] = field(default_factory=list)
    asked: int = 0
    tool_calls: int = 0

    async def reserve(self, worst: Spent, place: Place, *, tenant: str) -> Reserved:
        del place, tenant
        number, self.asked = self.asked, self.asked + 1
        await self._pause(number)
        if number in self.refuses:
            raise LimitReached("stopped_cost", "the tenant's day is over")
        self.reserved.append(worst)
        return Reserved(worst=worst, day=date.min, before=self.lost)

    async def before(self, place: Place) -> Spent:
        del place
        return self.lost

    async def settle(
        self, actual: Sequence[tuple[Reserved, Spent]], place: Place, *, tenant: str, tool_calls: int = 0
    ) -> None:
        del place, tenant
        await self._pause(len(actual))
        self.settled += [spent for _, spent in actual]
        self.tool_calls += tool_calls

    async def _pause(self, number: int) -> None:
        for _ in range(self.pauses[number % len(self.pauses)]):
            await asyncio.sleep(0)
            self.look()


def _run(spending: Yielding, **limits: Any) -> RunBudget:
    limited = LocalContext(**{"max_tokens": MAX_TOKENS, "max_usd": MAX_USD, **limits})
    place = Place(thread_id="t", checkpoint_id="c", node="n")
    return RunBudget(limits=limited, usage=no_usage(), place=place, spending=spending, clock=FixedClock())


@dataclass(frozen=True, kw_only=True)
class Job:
    """A call: what it may cost, what share of that it did, and how it ends."""

    worst: Spent
    share: float
    fate: Literal["settled", "cut off"]
    pause: int

    @property
    def actual(self) -> Spent:
        worst, share = self.worst, self.share
        return Spent(
            prompt_tokens=int(worst.prompt_tokens * share),
            completion_tokens=int(worst.completion_tokens * share),
            cost_usd=worst.cost_usd * share,
        )


WORST = st.builds(
    Spent,
    prompt_tokens=st.integers(0, 400),
    completion_tokens=st.integers(0, 400),
    cost_usd=st.integers(0, 20).map(lambda cents: cents / 100) | st.floats(0, 0.2),
)
JOBS = st.builds(
    Job, worst=WORST, share=st.floats(0, 1), fate=st.sampled_from(["settled", "cut off"]), pause=st.integers(0, 4)
)


@given(st.lists(JOBS, max_size=25), st.lists(st.integers(0, 4), min_size=1), st.frozensets(st.integers(0, 24)))
def test_whatever_runs_at_the_same_time_no_limit_is_passed_and_every_sum_is_exact(
    jobs: list[Job], pauses: list[int], refuses: frozenset[int]
) -> None:
    spending = Yielding(pauses=pauses, refuses=refuses)
    run = _run(spending)

    def within_limits() -> None:
        left = run.left()
        assert left.tokens >= 0
        assert left.usd >= -ROUNDING

    async def play(job: Job) -> Spent:
        """What it must be charged."""
        try:
            reservation = await run.reserve(job.worst)
        except LimitReached:
            return NOTHING
        within_limits()
        for _ in range(job.pause):
            await asyncio.sleep(0)
        if job.fate == "cut off":
            return job.worst
        reservation.settle(job.actual)
        return job.actual

    async def play_all() -> list[Spent]:
        due = await asyncio.gather(*map(play, jobs))
        await run.close()
        return due

    spending.look = within_limits
    due = asyncio.run(play_all())

    charged = spent_of(run)
    assert charged.calls == sum(one.calls for one in due)
    assert charged.prompt_tokens == sum(one.prompt_tokens for one in due)
    assert charged.completion_tokens == sum(one.completion_tokens for one in due)
    assert charged.cost_usd == pytest.approx(sum(one.cost_usd for one in due), abs=1e-12)
    assert charged.tokens <= MAX_TOKENS
    assert charged.cost_usd <= MAX_USD + ROUNDING


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [({"max_usd": 10_000}, "stopped_tokens"), ({"max_tokens": 100_000_000}, "stopped_cost")],
)
async def test_fifty_parallel_calls_can_not_pass_a_cap_together(limits: dict[str, Any], outcome: str) -> None:
    run = _run(Yielding(pauses=(3, 0, 1)), **limits)

    ended = await asyncio.gather(*[run.reserve(FULL) for _ in range(50)], return_exceptions=True)

    refused = [one for one in ended if isinstance(one, LimitReached)]
    assert (len(ended) - len(refused), {one.outcome for one in refused}) == (10, {outcome})
    await run.close()
    assert spent_of(run).calls == 10


async def test_what_a_settled_call_did_not_need_is_free_for_the_next() -> None:
    spending = Yielding()
    run = _run(spending)
    for _ in range(50):
        (await run.reserve(FULL)).settle(Spent(prompt_tokens=10, cost_usd=0.003))

    assert (spent_of(run).calls, spent_of(run).tokens) == (50, 500)
    assert spent_of(run).cost_usd == pytest.approx(0.15)
    await run.close(tool_calls=3)
    assert (len(spending.settled), spending.tool_calls) == (50, 3)


@pytest.mark.parametrize(("cents", "times", "limit"), [(10, 3, 0.3), (1, 100, 1.0), (7, 10, 0.7), (70, 3, 2.1)])
@pytest.mark.parametrize("settles", [True, False])
async def test_a_usd_limit_may_be_met_exactly_and_not_passed_by_a_millionth(
    cents: int, times: int, limit: float, *, settles: bool
) -> None:
    """0.1 + 0.1 + 0.1 is more than 0.3 in floats."""
    run = _run(Yielding(), max_usd=limit)
    each = Spent(cost_usd=cents / 100)

    for _ in range(times):
        reservation = await run.reserve(each)
        if settles:
            reservation.settle(each)

    with pytest.raises(LimitReached, match="cost: ") as reached:
        await run.reserve(Spent(cost_usd=1e-6))
    assert reached.value.outcome == "stopped_cost"
    await run.reserve(Spent(cost_usd=0))


@pytest.mark.parametrize("moment", ["in the call", "while it reserves"])
async def test_a_call_that_is_cancelled_is_charged_at_its_worst(moment: str) -> None:
    """While it reserves, too: the row may be there already, and what the tenant pays the run does."""
    reached, never = asyncio.Event(), asyncio.Event()

    class Hanging(Yielding):
        async def reserve(self, worst: Spent, place: Place, *, tenant: str) -> Reserved:
            if moment == "while it reserves":
                reached.set()
                await never.wait()
            return await super().reserve(worst, place, tenant=tenant)

    run = _run(Hanging())

    async def call() -> None:
        await run.reserve(FULL)
        reached.set()
        await never.wait()

    task = asyncio.create_task(call())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert run.left().tokens == MAX_TOKENS - 100
    for _ in range(2):  # closing again charges nothing more
        await run.close()
        assert spent_of(run) == FULL


@pytest.mark.parametrize(
    ("worst", "outcome", "told"),
    [
        (Spent(prompt_tokens=1_001), "stopped_tokens", "tokens: 0 used of 1000, the next call may take 1001"),
        (Spent(cost_usd=0.31), "stopped_cost", "cost: 0.0000 USD spent of 0.3, the next call may take 0.3100"),
        (Spent(cost_usd=float("inf")), "stopped_cost", "cost: "),
    ],
)
async def test_a_call_that_does_not_fit_is_never_told_to_the_tenant(worst: Spent, outcome: str, told: str) -> None:
    spending = Yielding()
    run = _run(spending)

    with pytest.raises(LimitReached) as reached:
        await run.reserve(worst)

    assert reached.value.outcome == outcome
    assert reached.value.why.startswith(told)
    await run.close()
    assert (spending.asked, spending.settled, spent_of(run)) == (0, [], NOTHING)


async def test_no_time_left_is_a_limit_too() -> None:
    clock = FixedClock()
    run = budget(max_seconds=10)
    run.clock = clock
    clock.move(10)

    with pytest.raises(LimitReached, match=r"time: 10\.0 s of 10") as reached:
        await run.reserve(NOTHING)

    assert reached.value.outcome == "stopped_deadline"
    for _ in range(2):
        assert (await run.close())["seconds"] == 10


async def test_what_earlier_executions_lost_is_charged_once_however_many_calls_follow() -> None:
    lost = Spent(calls=2, prompt_tokens=200, completion_tokens=100, cost_usd=0.09)
    run = _run(Yielding(lost=lost, pauses=(2, 0)))

    reservations = await asyncio.gather(*[run.reserve(FULL) for _ in range(5)])
    for one in reservations:
        one.settle(FULL)

    assert spent_of(run).calls == 7
    assert spent_of(run).tokens == 800


async def test_what_was_lost_is_charged_also_when_no_call_fits_or_is_made() -> None:
    lost = Spent(calls=2, prompt_tokens=200, completion_tokens=100, cost_usd=0.09)
    run = _run(Yielding(lost=lost))
    with pytest.raises(LimitReached):
        await run.reserve(Spent(prompt_tokens=MAX_TOKENS + 1))

    for _ in range(2):
        await run.close()
        assert spent_of(run) == lost


async def test_a_call_for_which_the_lost_ones_leave_no_room_is_given_back() -> None:
    lost = Spent(calls=9, prompt_tokens=950, cost_usd=0.01)
    spending = Yielding(lost=lost)
    run = _run(spending)

    with pytest.raises(LimitReached) as reached:
        await run.reserve(FULL)

    assert reached.value.outcome == "stopped_tokens"
    await run.close()
    assert spending.settled == [NOTHING]
    assert spent_of(run) == lost
