"""Random plans on real Postgres, killed anywhere: never a call before its inputs, over a limit, lost or doubled."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contextlib import suppress
from hypothesis.errors import FlakyFailure
from hypothesis import HealthCheck, Phase, given, settings

PHASES = tuple(Phase) if os.environ.get("SHRINK") else (Phase.generate,)

from app.lifespan import Opened, opened
from services.settings import Settings, load
from tests.integration.plan_cases import Case, cases
from tests.integration.plan_oracle import Oracle
from tests.integration.plan_sessions import Bench, Place, play_here

PLANS = int(os.environ.get("PLANS", "60"))
"""How many are tried; `make test-plans` tries 1,000."""


def test_a_random_plan_ends_right_whatever_dies_and_whoever_decides(database_url: str, tmp_path: Path) -> None:
    chosen = load(database_url=database_url, home=tmp_path, openai_api_key=None, breaker_failures=1_000)
    counted: Counter[str] = Counter()
    began = time.monotonic()
    with asyncio.Runner() as runner:
        stack = opened(chosen)
        everything = runner.run(stack.__aenter__())
        try:
            _try_all(runner, runner.run(_bench(everything, chosen)), tmp_path, counted)
        finally:
            runner.run(stack.__aexit__(None, None, None))
            print({**counted, "seconds": round(time.monotonic() - began, 1)})


def _try_all(runner: Any, bench: Bench, folder: Path, counted: Counter[str]) -> None:
    numbers = itertools.count()

    @settings(
        max_examples=PLANS, phases=PHASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
    )
    @given(case=cases())
    def one(case: Case) -> None:
        place = Place(thread=f"plan-{next(numbers)}", folder=folder)
        facts = runner.run(play_here(case, place, bench))
        log = [json.loads(line) for line in place.logfile.read_text().splitlines()]
        wrong = Oracle(case, facts, log).wrong()
        counted.update(["plans", facts["outcome"]])
        counted["sessions"] += sum(e["kind"] == "session" for e in log)
        counted["tasks"] += len(facts["tasks"])
        counted["calls"] += sum(e["kind"] == "begin" for e in log)
        counted["decisions"] += sum(e["kind"] == "decided" for e in log)
        counted["doubts"] += sum(e["kind"] == "decided" and bool(e["key"]) for e in log)
        if wrong:
            failed.append((len(case["tasks"]), wrong, case, place))
        assert wrong == []

    failed: list[Any] = []
    with suppress(AssertionError, FlakyFailure):  # processes race: the same case may go another way
        one()
    if failed:
        _, wrong, case, place = min(failed, key=lambda one: one[0])
        pytest.fail("\n".join([*wrong, json.dumps(case), place.logfile.read_text()]), pytrace=False)


async def _bench(everything: Opened, chosen: Settings) -> Bench:
    return Bench(everything, chosen)
