"""Cases: what is done to a run, all of it determined by the seed and the case's id."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from evals.chaos.trap import MOMENT, POINTS
from graph.errors import BadSetting

FAULTS = ("kill", "postgres", "model")
STORIES = 12
"""Scripts a seed has; each is run undisturbed once."""

MOST_STRIKES = 4
NTH = 6
"""The second and later strikes come at the 1st to 6th time their point is reached."""

EVERYWHERE = {graph: (*points, MOMENT) for graph, points in POINTS.items()}
"""By graph."""

BLOWS = ("cut", "restart", "outage")
"""What happens to Postgres: every connection ended; down and up again at once; down for a while."""


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One kill, or one blow to Postgres."""

    point: str
    share: float
    """Of the times the point is reached undisturbed, or of the undisturbed run's time: when."""
    blow: str | None = None
    """None for a kill."""
    seconds: float = 0.0
    """How long an outage lasts."""

    def at(self, reached: Mapping[str, int]) -> int:
        """The how-manieth time at its point, counted from 1."""
        return 1 + int(self.share * reached.get(self.point, 1))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A story and what strikes it, in order."""

    fault: str
    number: int
    story: int
    strikes: tuple[Strike, ...]

    @property
    def id(self) -> str:
        """As `--case` takes it."""
        return f"{self.fault}-{self.number}"


def case(seed: int, fault: str, number: int, graph: str = "react") -> Case:
    """The case of this id. By their numbers, cases go through all points (and blows) in turn."""
    chance = random.Random(f"{seed} {fault} {number}")  # noqa: S311 - a test's dice
    points, everywhere = POINTS[graph], EVERYWHERE[graph]
    told = chance.randrange(STORIES)
    if fault == "postgres":
        blow = BLOWS[number % len(BLOWS)]
        point = points[(number * 7) % len(points)]  # 7 and the number of points have no common factor
        strike = Strike(point=point, share=chance.random(), blow=blow, seconds=chance.uniform(0.2, 1.0))
        return Case(fault=fault, number=number, story=told, strikes=(strike,))
    strikes = [Strike(point=everywhere[number % len(everywhere)], share=chance.random())]
    while len(strikes) < MOST_STRIKES and chance.random() < 0.4:  # noqa: PLR2004 - two in five are struck again
        strikes.append(Strike(point=chance.choice(everywhere), share=chance.random()))
    return Case(fault=fault, number=number, story=told, strikes=tuple(strikes))


def parse_id(text: str) -> tuple[str, int]:
    """(fault, number) of a case's id.

    Raises:
        BadSetting: it is none.
    """
    fault, _, number = text.rpartition("-")
    if fault not in FAULTS or not number.isdecimal():
        raise BadSetting(f"there is no case {text!r}: they are called FAULT-NUMBER, such as kill-17")
    return fault, int(number)
