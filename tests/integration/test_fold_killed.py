"""A fold killed by SIGKILL at any of its steps: nothing is lost or told twice, and what was paid for is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import LIST, calls, say
from tests.integration.fold_kills import FOLDS, STEPS
from tests.integration.planning import plan, task

PROGRAM = Path(__file__).with_name("fold_kills.py")
USED = {"usage": {"input_tokens": 100, "output_tokens": 10}}
PRICE = {"input_per_mtok": 10.0, "output_per_mtok": 10.0}
FACTS = ["desks cost 389.00", "there is a policy"]
SUMMARIES = [{"content": f"- {fact}", **USED} for fact in FACTS]
CATALOGUE, POLICY = ({"path": f"docs/{name}"} for name in ("catalogue.csv", "travel-policy.md"))
PAID_TWICE = ("replied", "before writes")
"""Steps at which the summarizer has replied and nothing of it is stored."""
KEPT = ("messages", "paired", "summary", "facts", "opened", "kept", "folds")


@pytest.fixture
def played(database_url: str, workspace: Path, tmp_path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    turns = [calls(("read_file", CATALOGUE)), calls(("read_file", POLICY)), calls(LIST), say("all done")]
    react = {"turns": turns, "summarizer": SUMMARIES, "price": PRICE}
    first = plan(task("c", "read_file", **CATALOGUE), task("f", "read_file", path="not-there.md"))
    plans = {"planner": [first, plan(task("l", "list_files"))], "summarizer": SUMMARIES, "price": PRICE}
    scripts = [tmp_path / "react.yaml", tmp_path / "plan.yaml"]
    for path, script in zip(scripts, (react, {"turns": [say("all done")], **plans}), strict=True):
        path.write_text(yaml.safe_dump(script))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), database_url, str(workspace), *map(str, scripts)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(done.stdout)
    return found


@pytest.mark.long
def test_a_fold_that_was_killed_ends_as_one_that_was_not(played: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Two folds of a `react` run, killed in the second; one of a plan, between its replan's tasks and the answer."""
    for graph, cases in played.items():
        undisturbed = cases.pop("")
        spent = undisturbed["report"]["usage"]
        assert (undisturbed["killed"], undisturbed["report"]["outcome"]) == (False, "completed"), graph
        assert (undisturbed["folds"], undisturbed["paired"]) == (FOLDS[graph], True)
        assert undisturbed["summary"] == FACTS[: FOLDS[graph]]
        assert len(undisturbed["opened"]) == undisturbed["kept"] == len(set(undisturbed["opened"])) == 2
        assert any("Standing desk" in text for text in undisturbed["opened"])
        assert any(kind == "value" for kind, _ in undisturbed["facts"])

        assert list(cases) == list(STEPS)
        for step, case in cases.items():
            where = f"{graph}, {step}"
            assert (case["killed"], case["report"]["outcome"], case["report"]["answer"]) == (
                True,
                "completed",
                "all done",
            ), where
            assert {field: case[field] for field in KEPT} == {field: undisturbed[field] for field in KEPT}, where
            _check_spent(case["report"]["usage"], spent, where, paid_twice=step in PAID_TWICE)


def _check_spent(usage: dict[str, Any], undisturbed: dict[str, Any], where: str, *, paid_twice: bool) -> None:
    """A summarizer's reply that was lost is paid for as well, at its worst; none is where none was made or lost."""
    same: Callable[[float], object] = pytest.approx
    assert usage["model_calls"] == undisturbed["model_calls"] + paid_twice, where
    assert usage["tool_calls"] == undisturbed["tool_calls"], where
    for field in ("prompt_tokens", "cost_usd"):
        more = usage[field] > undisturbed[field]
        assert more if paid_twice else usage[field] == same(undisturbed[field]), f"{where}: {field}"
