"""What the figures of plans are measured on: shapes of plans, and requests as each kind of agent does them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from graph.tools import AT_ONCE

WIDTHS = (1, 2, 4, 8, 16, 32)

Task = dict[str, Any]
Turn = dict[str, Any]


def planned(name: str, tool_name: str, *needs: str, **args: str) -> Task:
    """A task as a planner writes it."""
    return {"id": name, "tool": tool_name, "args": args, "needs": list(needs)}


def plan_of(tasks: Sequence[Task]) -> Turn:
    """A planner's reply."""
    return {"tool_calls": [{"name": "plan", "args": {"tasks": list(tasks)}}]}


def independent(tool_name: str, count: int) -> list[Task]:
    """Tasks that need nothing."""
    return [planned(f"t{number}", tool_name, text=f"q{number}") for number in range(count)]


CHAIN = [
    planned("t0", "search", text="q"),
    *(planned(f"t{number}", "search", text=f"$t{number - 1}") for number in range(1, 4)),
]
DIAMOND = [
    planned("top", "search", text="q"),
    *(planned(f"m{number}", "search", "top", text=f"q{number}") for number in range(6)),
    planned("end", "note", text=" ".join(f"${{m{number}}}" for number in range(6))),
]
# What is run, and the length of its critical path in calls, no more than AT_ONCE side by side.
SHAPES: Mapping[str, tuple[list[Task], int]] = {
    **{
        f"{count} independent call{'s' if count > 1 else ''} of 200 ms": (
            independent("search", count),
            ceil(count / AT_ONCE),
        )
        for count in WIDTHS
    },
    "32 independent effects, each through the ledger": (independent("note", 32), ceil(32 / AT_ONCE)),
    "4 in a chain": (CHAIN, 4),
    "1, then 6 side by side, then 1": (DIAMOND, 3),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as each kind of agent does it, its model scripted."""

    said: str
    turns: list[Turn]
    """Of `react` and of the peer."""
    planner: list[Turn]
    subtasks: dict[str, list[Turn]]
    to_reach: str


def called(name: str, *texts: str) -> Turn:
    """A reply that calls a tool, once for each text."""
    return {"tool_calls": [{"name": name, "args": {"text": text}} for text in texts]}


SEARCHES = independent("search", 3)
ONE_BY_ONE = [called("search", f"q{number}") for number in range(3)]
SAID: Turn = {"content": "This is what was found."}
ALL_RESULTS = "${t0} ${t1} ${t2}"
NOTED = planned("n", "note", text=ALL_RESULTS)
WORDED = [planned("s", "react", task=f"Sum up: {ALL_RESULTS}"), planned("n", "note", text="$s")]
TARGET = "2 to 3 calls, 0.5 or less"
REQUESTS = (
    Request(
        said="three searches, their results noted down, an answer",
        turns=[*ONE_BY_ONE, called("note", "found"), SAID],
        planner=[plan_of([*SEARCHES, NOTED])],
        subtasks={},
        to_reach=TARGET,
    ),
    Request(
        said="the same, noted in a model's own words: a sub-task of the plan",
        turns=[*ONE_BY_ONE, called("note", "found"), SAID],
        planner=[plan_of([*SEARCHES, *WORDED])],
        subtasks={"s": [SAID]},
        to_reach=TARGET,
    ),
    Request(
        said="three searches, an answer that sums up",
        turns=[*ONE_BY_ONE, SAID],
        planner=[plan_of(SEARCHES)],
        subtasks={},
        to_reach=TARGET,
    ),
    Request(
        said="the same, `react` asking for all three at once",
        turns=[called("search", "q0", "q1", "q2"), SAID],
        planner=[plan_of(SEARCHES)],
        subtasks={},
        to_reach="",
    ),
)
