"""`ballast chaos` as CI runs it: at least 60 kills over every named point, some of each other fault, some of plans."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from evals.chaos.case import BLOWS, EVERYWHERE
from tests.acceptance.conftest import one_line
from tests.forks import Forks

Chaos = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 600
KILLS = 60
PLAN_KILLS = 12


@pytest.fixture
def chaos() -> Chaos:
    """It needs no database of ours: it brings its own, and tears it down."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI", "BALLAST", "DATABASE"))}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app.cli", "chaos", *args]
        return subprocess.run(command, env=kept, text=True, capture_output=True, check=False, timeout=SECONDS)

    return run


@pytest.mark.long
def test_nothing_is_lost_or_done_twice_whatever_is_killed(chaos: Chaos) -> None:
    done = chaos("--kills", str(KILLS), "--runs", "12", "--json")

    summary = json.loads(done.stdout)
    rows = {row["fault"]: row for row in summary["table"]}
    struck = {point for result in summary["cases"] for point in result["points"]}
    assert summary["failed"] == []
    assert done.returncode == 0
    assert rows["kill"]["struck"] >= KILLS
    assert set(EVERYWHERE["react"]) <= struck
    assert all(rows[blow]["struck"] > 0 for blow in BLOWS)
    assert rows["model"]["cases"] == 12
    assert rows["kill"]["in doubt"] == rows["kill"]["surfaced"] > 0


@pytest.mark.long
def test_nor_in_a_plan(chaos: Chaos) -> None:
    done = chaos("--graph", "plan", "--kills", str(PLAN_KILLS), "--faults", "kill", "--json")

    summary = json.loads(done.stdout)
    [row] = summary["table"]
    struck = {point for result in summary["cases"] for point in result["points"]}
    assert (summary["failed"], summary["graph"], done.returncode) == ([], "plan", 0)
    assert row["struck"] >= PLAN_KILLS
    assert {"plan.inside", "execute.inside", "approve.inside"} <= struck
    assert struck <= set(EVERYWHERE["plan"])
    assert row["in doubt"] == row["surfaced"]


@pytest.mark.long
def test_one_case_is_repeated_by_its_id(chaos: Chaos) -> None:
    cases: list[dict[str, Any]] = []
    for _ in range(2):
        done = chaos("--seed", "3", "--case", "kill-4", "--json")
        assert done.returncode == 0
        cases += [{**case, "seconds": 0} for case in json.loads(done.stdout)["cases"]]

    assert cases[0] == cases[1]
    assert cases[0]["points"][0] == "approve.inside"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--faults", "flood"], "'flood'"),
        (["--case", "kill"], "kill-17"),
        (["--graph", "tree"], "use react or plan"),
        (["--kills", "-1"], "--kills"),
        (["--faults", "kill,model", "--kills", "0", "--runs", "0"], "nothing was tried"),
    ],
)
def test_bad_input_is_one_line(forks: Forks, args: list[str], said: str) -> None:
    one_line(forks.run("-m", "app.cli", "chaos", *args, env={"PATH": os.environ["PATH"]}), 2, said)
