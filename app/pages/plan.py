"""A run's plan on its page: a drawing where it fits, and a list of its tasks."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.pages.drawing import HEIGHT, WIDTH, Drawing, drawn
from app.pages.readable import words
from app.plan_view import WORDS, Standing, TaskView, counted
from app.visible import visible
from graph.approvals import Approval

MOST_DRAWN = 60
"""Tasks of a plan that is still drawn."""
PAGE = 100
"""Tasks of the list on a page."""
NAME_COLUMNS, TOOL_COLUMNS = 19, 16
"""What fits into a box of a name, and of a tool beside how the task stands. A wide letter takes two."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A task in the drawing. Texts are cut to what fits; `title` has them whole."""

    x: int
    y: int
    name: str
    tool: str
    title: str
    stands: Standing


@dataclass(frozen=True, kw_only=True)
class PlanShown:
    """A plan, ready to be laid out."""

    total: int
    counts: Sequence[tuple[Standing, str, int]]
    """(standing, in words, how many)"""
    drawing: Drawing | None
    boxes: Sequence[Box]
    tasks: Sequence[TaskView]
    """Those of this page of the list."""
    first: int
    """Which of all the first of them is, from 0."""
    asked: Mapping[str, str]
    """Open approvals, by the id of the call they are about."""
    box_width: int = WIDTH
    box_height: int = HEIGHT

    @property
    def earlier(self) -> int | None:
        """Where the page before begins."""
        return max(self.first - PAGE, 0) if self.first else None

    @property
    def later(self) -> int | None:
        """Where the next page begins."""
        return self.first + PAGE if self.first + PAGE < self.total else None


def plan_shown(tasks: Sequence[TaskView], approvals: Sequence[Approval], *, first: str) -> PlanShown | None:
    """The plan as the page shows it, its list from number `first` on; None when there is none."""
    if not tasks:
        return None
    at = int(first) if first.isascii() and first.isdecimal() and len(first) < len("1000000") else 0
    at = at if at < len(tasks) else 0
    drawing = _drawn(tasks) if len(tasks) <= MOST_DRAWN else None
    return PlanShown(
        total=len(tasks),
        counts=[(standing, WORDS[standing], many) for standing, many in counted(tasks)],
        drawing=drawing,
        boxes=[_box(task, x, y) for task, (x, y) in zip(tasks, drawing.boxes, strict=True)] if drawing else [],
        tasks=tasks[at : at + PAGE],
        first=at,
        asked={row.call_id: row.id for row in approvals if row.status == "pending"},
    )


def estimate_in_words(estimate: Any) -> str:
    """What a task may take; empty where nobody can tell, or what stands there is none."""
    try:
        calls, tokens, usd = int(estimate["calls"]), int(estimate["tokens"]), float(estimate["cost_usd"])
    except (TypeError, KeyError, ValueError, OverflowError):  # a state may be edited from outside
        return ""
    cost = f", ${usd:.4f}" if usd else ""
    return f"{calls:,} call{'' if calls == 1 else 's'}, ~{tokens:,} tokens{cost}"


def _drawn(tasks: Sequence[TaskView]) -> Drawing:
    numbers = {task["id"]: number for number, task in enumerate(tasks)}
    return drawn([[numbers[need] for need in task["needs"] if need in numbers] for task in tasks])


def _box(task: TaskView, x: int, y: int) -> Box:
    name, tool = visible(task["id"]), visible(words(task["tool"]))
    return Box(
        x=x,
        y=y,
        name=_cut(name, NAME_COLUMNS),
        tool=_cut(tool, TOOL_COLUMNS),
        title=f"{name}: {tool}, {WORDS[task['stands']]}",
        stands=task["stands"],
    )


def _cut(text: str, columns: int) -> str:
    taken = 0
    for at, char in enumerate(text):
        taken += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if taken > columns:
            return text[: max(at - 1, 1)] + "…"
    return text
