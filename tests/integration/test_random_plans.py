"""Random plans on real Postgres, killed anywhere: never a call before its inputs, over a limit, lost or doubled."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import FlakyFailure

from app.lifespan import Opened, opened
from services.settings import Settings, load
from tests.integration.plan_cases import Case, cases
from tests.integration.plan_kills import killing
from tests.integration.plan_oracle import Oracle
from tests.integration.plan_sessions import Bench, Desk, Place, play_here

PLANS = int(os.environ.get("PLANS", "30"))
"""How many are tried; `make test-plans` tries 1,000."""
FEW = 300
KILLED_PLANS = int(os.environ.get("KILLED_PLANS", "3"))
"""How many of processes that really die; `make test-plans` tries 40, some of which end before their first kill."""

Play = Callable[[Case, Place], dict[str, Any]]


@pytest.mark.long
def test_a_random_plan_ends_right_whatever_dies_and_whoever_decides(database_url: str, tmp_path: Path) -> None:
    with asyncio.Runner() as runner, _opened_by(runner, database_url, tmp_path) as bench:

        def play(case: Case, place: Place) -> dict[str, Any]:
            return runner.run(play_here(case, place, bench))

        counted = _try(cases(), PLANS, play, tmp_path)

    assert counted["plans"] >= PLANS
    assert counted["died"] > PLANS / 10
    assert counted["doubts"] > 0 or PLANS < FEW, "of few it may be that none"


@pytest.mark.long
def test_a_random_plan_whose_processes_are_killed_ends_right(database_url: str, tmp_path: Path) -> None:
    with killing(database_url, tmp_path) as play:
        counted = _try(cases(killed=True), KILLED_PLANS, play, tmp_path)

    assert counted["died"] >= KILLED_PLANS / 2


def _try(any_case: Any, most: int, play: Play, folder: Path) -> Counter[str]:
    """Play so many cases; what they came to, counted. Fails with the smallest that went wrong, and its log."""
    numbers, counted = itertools.count(), Counter[str]()
    failed: list[tuple[int, str]] = []
    began = time.monotonic()

    @settings(
        max_examples=most,
        phases=[Phase.generate, Phase.shrink],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=any_case)
    def one(case: Case) -> None:
        place = Place(thread=f"killed-{next(numbers)}", folder=folder)
        facts = play(case, place)
        text = place.logfile.read_text()
        log = [json.loads(line) for line in text.splitlines()]
        _count(counted, facts, log)
        if wrong := Oracle(case, facts, log).wrong():
            failed.append((len(case["tasks"]), "\n".join([*wrong, json.dumps(case), text])))
        assert not wrong

    try:
        one()
    except (AssertionError, FlakyFailure):  # tasks race: the same case may go another way
        if not failed:
            raise
    if failed:
        pytest.fail(min(failed)[1], pytrace=False)
    counted["seconds"] = round(time.monotonic() - began)
    print(json.dumps(counted))  # noqa: T201 - `make test-plans` shows it
    return counted


def _count(counted: Counter[str], facts: dict[str, Any], log: list[dict[str, Any]]) -> None:
    kinds = Counter(entry["kind"] for entry in log)
    counted.update({"plans": 1, facts["outcome"]: 1, "processes": kinds["session"], "died": kinds["died"]})
    counted.update({"tasks": len(facts["tasks"]), "calls": kinds["begin"], "decisions": kinds["decided"]})
    counted.update(f"tasks {one['stands']}" for one in facts["results"].values())
    counted.update({"messages": kinds["said"], "edits": kinds["edited"], "tasks dropped": len(facts["dropped"])})
    counted["doubts"] += sum(entry["kind"] == "decided" and bool(entry["key"]) for entry in log)


@contextmanager
def _opened_by(runner: asyncio.Runner, url: str, home: Path) -> Iterator[Bench]:
    """One process' things for all cases: opening them takes longer than a case."""
    chosen = load(database_url=url, home=home, openai_api_key=None, breaker_failures=1_000)
    everything = opened(chosen)
    try:
        yield runner.run(_bench(runner.run(everything.__aenter__()), chosen))
    finally:
        runner.run(everything.__aexit__(None, None, None))


async def _bench(everything: Opened, chosen: Settings) -> Bench:
    return Bench(everything, chosen, Desk())
