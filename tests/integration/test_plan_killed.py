"""A plan killed at every write, stopped by ctrl-C, or taken over: what ended stays, the rest goes on, nothing twice."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from app.lifespan import Opened
from tests.integration.plan_cases import ALL, Case, Kill, Task
from tests.integration.plan_kills import killing
from tests.integration.plan_oracle import Oracle
from tests.integration.plan_sessions import Bench, Desk, Place, play_here

NEVER = 10_000


def one(name: str, tool: Any, *needs: str, label: str = "", answer: str = "approve", about: Any = None) -> Task:
    """A task that refers to nothing, or to all that the last it needs gave.

    To no field of it: a person who finds that an effect has happened does not know what it gave.
    """
    given = {"whole": [needs[-1]]} if about == "$" else {"plain": about}
    return Task(id=name, tool=tool, label=label or name, about=given, pace=1, needs=list(needs), answer=answer)


def case_of(*tasks: Task, kills: list[Kill]) -> Case:
    return Case(
        tasks=list(tasks),
        order=list(range(len(tasks))),
        again=[],
        limit=80,
        caps="",
        kills=kills,
        portions=[ALL],
        seen_first=False,
        says=[],
        edits=[],
    )


@pytest.fixture
async def bench(services: Opened) -> Bench:
    return Bench(services, services.settings, Desk())


async def test_an_equal_effect_that_was_stored_first_does_not_hide_the_one_before_it(
    bench: Bench, tmp_path: Path
) -> None:
    """Both have happened; of the two writes that say so, the first is lost with its process."""
    tasks = [one("n0", "note", label="same"), one("n1", "note", label="same")]
    case, place = case_of(*tasks, kills=[Kill(on="late", nth=1, clean=False)]), Place(thread="t", folder=tmp_path)

    facts = await play_here(case, place, bench)

    log = [json.loads(line) for line in place.logfile.read_text().splitlines()]
    assert [entry["kind"] for entry in log].count("happened") == 2
    assert [entry["kind"] for entry in log].count("died") == 1
    assert Oracle(case, facts, log).wrong() == []


@pytest.mark.long
def test_a_plan_killed_at_any_write_ends_as_if_it_had_not_been(database_url: str, tmp_path: Path) -> None:
    """SIGKILL before the writes of checkpoints and tasks, until a person is asked, and again after that."""
    tasks = [
        one("r", "look"),
        one("o", "outside"),
        one("n", "note", "r", about="$"),
        one("b", "buy", "n", about="$"),
        one("d", "note", "b", about="$"),
        one("f", "broken"),
    ]
    played = []
    with killing(database_url, tmp_path) as play:
        for half in (0, 1):
            for nth in itertools.count(1):
                case = case_of(*tasks, kills=[*[_at(NEVER)] * half, _at(nth)])
                place = Place(thread=f"{half}-{nth}", folder=tmp_path)
                facts = play(case, place)
                log = [json.loads(line) for line in place.logfile.read_text().splitlines()]
                assert Oracle(case, facts, log).wrong() == [], place.thread
                played.append(facts)
                if not any(entry["kind"] == "died" for entry in log):
                    break

    assert len(played) > 20
    undisturbed, *killed = reversed(played)
    assert [_left(facts) for facts in killed] == [_left(undisturbed)] * len(killed)


def _at(nth: int) -> Kill:
    return Kill(on="write", nth=nth, clean=False)


def _left(facts: dict[str, Any]) -> dict[str, Any]:
    """What must not differ. An effect that was cut off, and is asked about, runs in a later pass than it would have."""
    told = [message["call"] for message in facts["messages"] if message["type"] == "tool"]
    stands = {name: result["stands"] for name, result in facts["results"].items()}
    return {"outcome": facts["outcome"], "stands": stands, "calls": facts["usage"]["tool_calls"], "told": len(told)}
