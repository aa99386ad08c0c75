"""A plan: the tasks one planning pass makes of a request, and what each of them needs."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # typing's own has no schema before Python 3.12


class Task(TypedDict):
    """One call of a plan."""

    id: str
    """The planner's name for it, unique in the plan."""
    tool: str
    args: dict[str, Any]
    """As the planner wrote them: `"$t1.field"` stands for what task t1 gave."""
    needs: list[str]
    """Ids of the tasks that come before it, those it refers to included."""
