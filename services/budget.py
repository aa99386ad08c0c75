"""What a node of a run may still spend: the run's own limits, and through `Spending` those of its tenant's day."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from langgraph.runtime import Runtime

from graph.budget import Left, Place, Reserved, Spending, Spent
from graph.context import FULL_RUNS, THREAD_TOKENS, THREAD_USD, Clock, Context, LocalContext, Run
from graph.errors import LimitReached
from graph.state import Totals, Usage
from services.totals import no_totals

ROUNDING = 1e-9
"""US dollars by which sums of floats may miss a limit they meet exactly."""


def budget_of(runtime: Runtime[Run], node: str, limits: LocalContext, usage: Usage, earlier: Totals) -> RunBudget:
    """The budget of the node that runs now; `usage` is charged in place."""
    info, services = runtime.execution_info, runtime.context.services
    place = Place(
        thread_id=(info.thread_id if info else None) or "",
        checkpoint_id=info.checkpoint_id if info else "",
        node=node,
        claim=runtime.context.claim,
    )
    return RunBudget(
        limits=limits, usage=usage, earlier=earlier, place=place, spending=services.spending, clock=services.clock
    )


def no_room_for_calls(more: int, usage: Usage, limits: LocalContext) -> dict[str, Any]:
    """How a run ends that wants more tool calls than it has left; empty when they fit."""
    if usage["tool_calls"] + more <= limits.max_tool_calls:
        return {}
    wanted = f"{more} more after {usage['tool_calls']} of {limits.max_tool_calls}"
    return {"outcome": "stopped_tool_calls", "reason": f"tool calls: {wanted}"}


@dataclass(kw_only=True)
class RunBudget:
    """Implements `graph.budget.Budget`; made by a node for one execution of it, over a copy of the run's usage."""

    limits: LocalContext
    usage: Usage
    """Charged in place."""
    earlier: Totals = field(default_factory=no_totals)
    """What the thread's runs before this one have spent."""
    place: Place
    spending: Spending
    clock: Clock
    _started: float = field(init=False)
    _in_flight: dict[str, Spent] = field(default_factory=dict)
    _settled: list[tuple[Reserved, Spent]] = field(default_factory=list)
    """Calls that ended and the tenant's day does not know yet: told at the node's end, all at once."""
    _knows_lost: bool = False
    _first: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._started = self.clock.monotonic()

    def left(self) -> Left:
        """See `graph.budget.Budget.left`."""
        spent = list(self._in_flight.values())
        tokens = min(self.limits.max_tokens, self._tokens_of_thread())
        usd = min(self.limits.max_usd, self._usd_of_thread())
        return Left(
            tokens=tokens - _tokens(self.usage) - sum(one.tokens for one in spent),
            usd=usd - self.usage["cost_usd"] - sum(one.cost_usd for one in spent),
            seconds=self.limits.max_seconds - self.usage["seconds"] - self._elapsed(),
        )

    async def reserve(self, worst: Spent) -> RunReservation:
        """See `graph.budget.Budget.reserve`."""
        if self._knows_lost:
            return await self._reserve(worst)
        async with self._first:  # the first finds what was lost; what comes with it waits for that
            return await self._reserve(worst)

    async def _reserve(self, worst: Spent) -> RunReservation:
        self._check(worst)
        name = uuid4().hex
        self._in_flight[name] = worst  # before anything is awaited: who reserves at the same time sees it
        try:
            reserved = await self.spending.reserve(worst, self.place, tenant=self.limits.tenant)
        except LimitReached as reached:
            del self._in_flight[name]
            if reached.lost and not self._knows_lost:
                self._charge(reached.lost)
            self._knows_lost = True
            raise
        if not self._knows_lost:
            self._knows_lost = True
            self._take_over(reserved, name, worst)
        return RunReservation(budget=self, name=name, reserved=reserved)

    def _take_over(self, reserved: Reserved, name: str, worst: Spent) -> None:
        """Charge what was lost with earlier executions of this place, and see whether there is still room."""
        self._charge(reserved.before)  # this execution comes first: what was there is of earlier ones
        del self._in_flight[name]
        try:
            self._check(worst)
        except LimitReached:
            self._settled.append((reserved, Spent(calls=0)))
            raise
        self._in_flight[name] = worst

    async def _charge_lost(self) -> None:
        """Charge what was lost here before, when no call was reserved that would have been told."""
        self._knows_lost = True
        lost = await self.spending.before(self.place)
        # A reservation that was cut off may be part of it, and is charged by `close`.
        held = list(self._in_flight.values())
        self._charge(
            Spent(
                calls=max(0, lost.calls - sum(one.calls for one in held)),
                prompt_tokens=max(0, lost.prompt_tokens - sum(one.prompt_tokens for one in held)),
                completion_tokens=max(0, lost.completion_tokens - sum(one.completion_tokens for one in held)),
                cost_usd=max(0.0, lost.cost_usd - sum(one.cost_usd for one in held)),
            )
        )

    def settle(self, name: str, reserved: Reserved, actual: Spent) -> None:
        """Charge a call that was reserved under `name`."""
        del self._in_flight[name]
        self._charge(actual)
        self._settled.append((reserved, actual))

    async def close(self, *, tool_calls: int = 0) -> Usage:
        """The usage when the node ends; counts tool calls that are about to run for the tenant's day.

        A call that was cut off is charged at its worst: nobody knows better.

        Raises:
            LimitReached: the tenant's day has no room for the tool calls. The usage is up to date all the same.
        """
        if not self._knows_lost and self.place.thread_id:
            await self._charge_lost()
        for worst in self._in_flight.values():
            self._charge(worst)
        self._in_flight.clear()
        self.usage["seconds"] += self._elapsed()
        self._started = self.clock.monotonic()
        settled, self._settled = self._settled, []
        if settled or tool_calls:
            await self.spending.settle(settled, self.place, tenant=self.limits.tenant, tool_calls=tool_calls)
        return self.usage

    def _check(self, more: Spent) -> None:
        left = self.left()
        if more.tokens > left.tokens:
            what, used, limit = "tokens", _tokens(self.usage), self.limits.max_tokens
            if self._tokens_of_thread() < limit:
                what, limit = "tokens of the thread", thread_tokens(self.limits)
                used += _tokens(self.earlier)
            raise LimitReached(
                "stopped_tokens", f"{what}: {used} used of {limit}, the next call may take {more.tokens}"
            )
        if more.cost_usd > left.usd + ROUNDING:
            what, spent, cap = "cost", self.usage["cost_usd"], self.limits.max_usd
            if self._usd_of_thread() < cap:
                what, cap = "cost of the thread", thread_usd(self.limits)
                spent += self.earlier["cost_usd"]
            next_usd = f"{more.cost_usd:.4f}"
            raise LimitReached(
                "stopped_cost", f"{what}: {spent:.4f} USD spent of {cap:g}, the next call may take {next_usd}"
            )
        if left.seconds <= 0:
            used_s = self.limits.max_seconds - left.seconds
            raise LimitReached("stopped_deadline", f"time: {used_s:.1f} s of {self.limits.max_seconds:g}")

    def _tokens_of_thread(self) -> int:
        """What the thread's limit leaves this run."""
        return thread_tokens(self.limits) - _tokens(self.earlier)

    def _usd_of_thread(self) -> float:
        return thread_usd(self.limits) - self.earlier["cost_usd"]

    def _charge(self, spent: Spent) -> None:
        self.usage["model_calls"] += spent.calls
        self.usage["prompt_tokens"] += spent.prompt_tokens
        self.usage["completion_tokens"] += spent.completion_tokens
        self.usage["cost_usd"] += spent.cost_usd

    def _elapsed(self) -> float:
        return max(0.0, self.clock.monotonic() - self._started)


@dataclass(frozen=True, kw_only=True)
class RunReservation:
    """Implements `graph.budget.Reservation`."""

    budget: RunBudget
    name: str
    reserved: Reserved

    def settle(self, actual: Spent) -> None:
        """See `graph.budget.Reservation.settle`."""
        self.budget.settle(self.name, self.reserved, actual)


def thread_tokens(limits: Context) -> int:
    """Most tokens all runs of a thread may take together."""
    return limits.max_thread_tokens or max(THREAD_TOKENS, FULL_RUNS * limits.max_tokens)


def thread_usd(limits: Context) -> float:
    """Most money all runs of a thread may take together."""
    return limits.max_thread_usd or max(THREAD_USD, FULL_RUNS * limits.max_usd)


def _tokens(usage: Usage | Totals) -> int:
    return usage["prompt_tokens"] + usage["completion_tokens"]
