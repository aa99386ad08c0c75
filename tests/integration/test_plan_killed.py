"""A plan killed at every write, stopped by ctrl-C, or taken over: what ended stays, the rest goes on, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.lifespan import Opened
from tests.integration.plan_cases import ALL, Case, Kill, Task
from tests.integration.plan_oracle import Oracle
from tests.integration.plan_sessions import Bench, Desk, Place, play_here


def one(name: str, tool: Any, *needs: str, label: str = "", answer: str = "approve", about: Any = None) -> Task:
    """A task that refers to nothing, or to the id of the last it needs."""
    given = {"whole": [needs[-1], "label"]} if about == "$" else {"plain": about}
    return Task(id=name, tool=tool, label=label or name, about=given, pace=1, needs=list(needs), answer=answer)


def case_of(*tasks: Task, kills: list[Kill]) -> Case:
    return Case(
        tasks=list(tasks), order=list(range(len(tasks))), again=[], limit=80, caps="", kills=kills, portions=[ALL]
    )


@pytest.fixture
async def bench(services: Opened) -> Bench:
    return Bench(services, services.settings, Desk())


async def test_an_equal_effect_that_was_stored_first_does_not_hide_the_one_before_it(
    bench: Bench, tmp_path: Path
) -> None:
    """Both have happened; of the two writes that say so, the first is lost with its process."""
    tasks = [one("n0", "note", label="same"), one("n1", "note", label="same")]
    case, place = case_of(*tasks, kills=[Kill(on="late", nth=1)]), Place(thread="t", folder=tmp_path)

    facts = await play_here(case, place, bench)

    log = [json.loads(line) for line in place.logfile.read_text().splitlines()]
    assert [entry["kind"] for entry in log].count("happened") == 2
    assert [entry["kind"] for entry in log].count("died") == 1
    print([(e["kind"], e.get("call")) for e in log])
    assert Oracle(case, facts, log).wrong() == []
