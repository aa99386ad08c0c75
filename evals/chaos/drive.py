"""Drives one case: attempt after attempt, each in a new process, until the run has ended or counts as stuck."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evals.chaos.attempt import Job
from evals.chaos.case import Strike
from evals.chaos.picture import Picture, Problem
from evals.chaos.postgres import OwnPostgres
from evals.chaos.processes import Child
from evals.chaos.trap import MOMENT

MOST_ATTEMPTS = 25
CASE_SECONDS = 90.0
"""Longest a case may take; after that its thread counts as stuck."""
PAUSE_SECONDS = 0.05
"""Between an attempt that was refused (the dead one's lock, Postgres away) and the next."""
EXPECTED = frozenset({"ThreadBusy"})
"""After a kill Postgres may need a moment to notice that whoever held the thread is dead. All else is an exception
to the caller, also when Postgres was away for a moment: what is safe is to be asked again."""

LATEST = 0.6
"""Of the undisturbed run's time an attempt, the end of what a moment is taken from: this one may be shorter or faster,
and a kill must find it alive."""


@dataclass(kw_only=True)
class Played:
    """How a case went."""

    picture: Picture | None = None
    """None: it did not come to its end."""
    struck: int = 0
    points: list[str] = field(default_factory=list)
    """Where it was struck."""
    asked: int = 0
    """Model calls that were cut off before they can have been stored, at most."""
    attempts: int = 0
    doubts: dict[str, str] = field(default_factory=dict)
    """Key and tool of every effect that an attempt left open."""
    reached: dict[str, int] = field(default_factory=dict)
    """Points by how often, in all attempts that ended by themselves."""
    problems: list[Problem] = field(default_factory=list)
    seconds: float = 0.0


class Driver:
    """Plays cases against one Postgres of its own."""

    def __init__(self, postgres: OwnPostgres) -> None:
        self._postgres = postgres

    def play(self, job: Job, strikes: Sequence[Strike], reached: Mapping[str, int], usual_seconds: float) -> Played:
        """Run `job` to its end, struck as told; `reached` and `usual_seconds` (an attempt) are as undisturbed."""
        played, left = Played(), list(strikes)
        began = time.monotonic()
        until = began + CASE_SECONDS
        last_error = ""
        while played.attempts < MOST_ATTEMPTS and time.monotonic() < until and played.picture is None:
            played.attempts += 1
            strike = left[0] if left else None
            at = strike.at(reached) - played.reached.get(strike.point, 0) if strike else 0
            error = self._attempt(job, played, strike, max(at, 1), usual_seconds, until)
            if left and played.struck > len(strikes) - len(left):
                left.pop(0)
                played.reached.clear()
            if error:
                played.asked += 1
                last_error = ": ".join(error)
                time.sleep(PAUSE_SECONDS)
                if error[0] not in EXPECTED:
                    played.problems.append(Problem(kind="lost", what=f"an attempt raised {last_error}"))
        if played.picture is None:
            why = f" ({last_error})" if last_error else ""
            played.problems.append(Problem(kind="stuck", what=f"not at its end after {played.attempts} attempts{why}"))
        played.seconds = time.monotonic() - began
        return played

    def _attempt(  # noqa: PLR0913, PLR0917 - one attempt's circumstances
        self, job: Job, played: Played, strike: Strike | None, at: int, usual_seconds: float, until: float
    ) -> list[str] | None:
        """Its error as [type, text], if it had one."""
        inside = strike is not None and strike.point != MOMENT
        error: list[str] | None = None
        point = strike.point if strike and inside else None
        with Child(job, point=point, at=at, lives=bool(strike and strike.blow)) as child:
            if strike and strike.point == MOMENT:
                error = _took_all(child, played, min(until, time.monotonic() + strike.share * LATEST * usual_seconds))
                if child.status is None:
                    child.kill()
                    played.struck += 1
                    played.points.append(MOMENT)
                    played.asked += 1
            for facts in child.facts(until):
                error = _took(facts, played) or error
                if strike and "sprung" in facts:
                    played.asked += facts["asked"]
                    played.struck += 1
                    played.points.append(strike.point)
                    if strike.blow:
                        error = self._blow(child, strike, played)
            if child.status is None:
                played.problems.append(Problem(kind="stuck", what="a process did not come to its end"))
        return error

    def _blow(self, child: Child, strike: Strike, played: Played) -> list[str] | None:
        """What happens to Postgres, while the process is held at its point, or goes on without it."""
        if strike.blow == "cut":
            self._postgres.cut_all()
        elif strike.blow == "restart":
            self._postgres.restart()
        else:
            self._postgres.stop()
            child.let_go()
            error = _took_all(child, played, time.monotonic() + strike.seconds)
            self._postgres.start()
            return error
        child.let_go()
        return None


def _took_all(child: Child, played: Played, until: float) -> list[str] | None:
    error = None
    for facts in child.facts(until):
        error = _took(facts, played) or error
    return error


def _took(facts: dict[str, object], played: Played) -> list[str] | None:
    match facts:
        case {"doubts": dict(doubts)}:
            played.doubts |= doubts
        case {"hits": dict(hits)}:
            for point, count in hits.items():
                played.reached[point] = played.reached.get(point, 0) + count
        case {"picture": dict(picture)}:
            played.picture = Picture(**picture)
        case {"error": [str(kind), str(text)]}:
            return [kind, text]
    return None
