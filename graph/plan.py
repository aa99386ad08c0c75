"""A plan: the tasks one planning pass makes of a request, what each of them needs, and what came of it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own has no schema before Python 3.12

SUBTASK = "react"
"""Stands in a task's place of a tool: a small agent of its own, which only reads, works on `args["task"]`."""

MOST_REPLANS = 2
"""Plans made in a run around what failed."""


class Estimate(TypedDict):
    """What a task may take, as far as it can be told before."""

    calls: int
    """Tool calls."""
    tokens: int
    """Of the model calls that make it or read its result."""
    cost_usd: float


class Task(TypedDict):
    """One call of a plan, or a sub-task."""

    id: str
    """The planner's name for it, unique in the run."""
    tool: str
    args: dict[str, Any]
    """As the planner wrote them: `"$t1.field"` stands for what task t1 gave."""
    needs: list[str]
    """Ids of the tasks that come before it, those it refers to included."""
    call_id: str
    """Pairs its call with its result in the history."""
    estimate: NotRequired[Estimate]
    unread: NotRequired[bool]
    """Planned before anything from outside was read: what stands in it is nobody's but the people's of the thread."""


class TaskResult(TypedDict):
    """What came of a task."""

    stands: Literal["done", "failed", "refused"]
    """`refused`: a person did not let it run."""
    text: str
    """What it gave, or why it gave nothing. Cleaned where it came from outside."""
    extract: NotRequired[str]
    """What models are shown instead of a text in quarantine, which is only filled in where a plan refers to it."""
    outside: NotRequired[bool]
    """Whether words of someone outside may be in it: its own, or what its arguments referred to."""


class Planned(TypedDict, total=False):
    """The part of a run's state that only the `plan` graph has."""

    tasks: list[Task]
    """Those of the current plan, each behind all it needs; those of earlier plans of the run that ended come first."""
    results: dict[str, TaskResult]
    """By task, of those that ended."""
    dropped: list[Task]
    """Tasks of earlier plans of the run that had not ended when another plan took their place: they never run."""
    planned_for: str
    """Id of the newest message the plan was made for: one that came since is planned for when its tasks have ended."""
    replans: int
    """Plans made in this run around what failed; MOST_REPLANS once none was found."""
    replanned: list[str]
    """Failed tasks that other tasks were planned around."""


def failures(plan: Planned) -> dict[str, str]:
    """Why each task failed that nothing was planned around."""
    known = plan.get("replanned", [])
    results = plan.get("results", {})
    return {name: one["text"] for name, one in results.items() if one["stands"] == "failed" and name not in known}
