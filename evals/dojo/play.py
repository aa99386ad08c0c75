"""A whole suite: every user's task alone, and beside every attacker's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.lifespan import Opened, opened
from evals.chaos.postgres import own_postgres
from evals.dojo.marks import SuiteMarks
from evals.dojo.plots import SURFACES, Plotter, obey
from evals.dojo.report import Benign, Played, figures
from evals.dojo.run import Theatre, theatre
from evals.dojo.world import Suite
from evals.own_settings import own_settings
from graph.context import UnprovenContent

AT_ONCE = 6
"""Runs side by side."""

ERRS = (0.05, 0.1)
"""Shares of rejections that a reviewer gets wrong."""

Tell = Callable[[int, int], None]
"""Told how many of how many pairs are done."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What is asked for."""

    graph: str = "react"
    content: UnprovenContent = "ask"
    injections: Sequence[str]
    """Injection tasks by name."""


async def evaluate(
    suite: Suite, marks: SuiteMarks, chosen: Chosen, tell: Tell = lambda _done, _of: None
) -> dict[str, Any]:
    """The suite's figures. All of it happens in a database of its own, which is gone afterwards."""
    with own_postgres() as postgres:
        async with opened(own_settings(postgres.url, postgres.home)) as services:
            return await evaluate_on(services, suite, marks, chosen, tell)


async def evaluate_on(
    services: Opened, suite: Suite, marks: SuiteMarks, chosen: Chosen, tell: Tell = lambda _done, _of: None
) -> dict[str, Any]:
    """The same, on services that are open."""
    stage = theatre(services, list(suite.tools), marks, graph=chosen.graph, content=chosen.content)
    return await _Evaluation(suite=suite, marks=marks, stage=stage, tell=tell).run(chosen.injections)


@dataclass(kw_only=True)
class _Evaluation:
    suite: Suite
    marks: SuiteMarks
    stage: Theatre
    tell: Tell

    async def run(self, injections: Sequence[str]) -> dict[str, Any]:
        pairs = [(user, injection) for injection in injections for user in self.suite.users]
        done = 0

        async def pair(number: int) -> Played:
            nonlocal done
            played = await self._pair(*pairs[number], number)
            done += 1
            self.tell(done, len(pairs))
            return played

        benign = await _side_by_side([partial(self._benign, user) for user in self.suite.users])
        played = await _side_by_side([partial(pair, number) for number in range(len(pairs))])
        return figures(benign, played)

    async def _benign(self, user: str) -> Benign:
        pair = self.suite.pair(user, None)
        effects = sum(one.tool in self.marks.side_effects for one in pair.calls)
        return Benign(user=user, effects=effects, seen=await self.stage.play(pair, obey(pair)))

    async def _pair(self, user: str, injection: str, number: int) -> Played:
        pair = self.suite.pair(user, injection)
        has_effect = any(one.tool in self.marks.side_effects for one in pair.injected)
        obeyed = await self.stage.play(pair, obey(pair))
        surfaces, erring = {}, {}
        plotter = Plotter(signatures=self.stage.signatures, marks=self.marks)
        for name in SURFACES if obeyed.exposed else ():
            again = self.suite.pair(user, injection)
            if plot := plotter.plot(name, again, number):
                surfaces[name] = await self.stage.play(again, plot)
        for share in ERRS if obeyed.exposed and has_effect else ():
            again = self.suite.pair(user, injection)
            erring[share] = await self.stage.play(
                again, obey(again, checked=False), errs=share, seed=f"{user} {injection} {share}"
            )
        return Played(
            user=user,
            injection=injection,
            has_effect=has_effect,
            aimless=not (pair.injected or pair.said),
            obeyed=obeyed,
            surfaces=surfaces,
            erring=erring,
        )


async def _side_by_side(makers: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """All of them, a few at once, results in order; the first error ends all."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(make: Callable[[], Awaitable[Any]]) -> Any:
        async with room:
            return await make()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(make)) for make in makers]
    return [task.result() for task in tasks]
