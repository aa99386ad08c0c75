"""Whether a plan fits what the run has left, before its first call: each excess is said exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from graph.context import Assessment, Context, limits_by_tool
from graph.plan import Task
from graph.state import Usage
from services.references import references

Assess = Callable[[str, Mapping[str, Any]], Awaitable[Assessment]]
"""See `graph.context.Tools.assess`."""

MOST_FOLLOWERS = 100
"""Most tasks that may need the same one directly."""


async def excesses(tasks: Sequence[Task], assess: Assess, usage: Usage, context: Context) -> list[str]:
    """A line for each thing by which the plan does not fit; none when it does.

    `usage` is what the run has spent so far, `context` its limits.
    """
    found = [*_calls(tasks, usage, context), *_followers(tasks)]
    return [*found, *await _of_tools(tasks, assess, usage, context)]


def _calls(tasks: Sequence[Task], usage: Usage, context: Context) -> list[str]:
    left = max(context.max_tool_calls - usage["tool_calls"], 0)
    if len(tasks) <= left:
        return []
    return [f"tool calls: the plan makes {len(tasks):,}, {left:,} are left: {len(tasks) - left:,} too many"]


def _followers(tasks: Sequence[Task]) -> list[str]:
    followers = Counter(need for task in tasks for need in task["needs"])
    return [
        f"{name}: {count:,} tasks need it, at most {MOST_FOLLOWERS} may: {count - MOST_FOLLOWERS:,} too many"
        for name, count in followers.items()
        if count > MOST_FOLLOWERS
    ]


async def _of_tools(tasks: Sequence[Task], assess: Assess, usage: Usage, context: Context) -> list[str]:
    """What the tools themselves refuse: unknown names, arguments that can't fit, more calls than each allows."""
    said: list[str] = []
    caps = limits_by_tool(context.tool_limits)
    for task in tasks:
        assessed = await assess(task["tool"], task["args"])
        # What an argument refers to is not there yet: only when it is, can it be checked, alone or with others.
        refers = {name for name, value in task["args"].items() if any(references(value))}
        if assessed.error and not assessed.faults and not (assessed.known and refers):
            said.append(f"{task['id']}: {assessed.error}")
        if assessed.max_calls is not None:
            caps[task["tool"]] = min(assessed.max_calls, caps.get(task["tool"], assessed.max_calls))
        said += [f"{task['id']}: {name}: {fault}" for name, fault in assessed.faults.items() if name not in refers]
    for name, made in Counter(task["tool"] for task in tasks).items():
        if name in caps and made > (left := max(caps[name] - usage["by_tool"].get(name, 0), 0)):
            said.append(f"{name}: the plan makes {made:,} calls, {left:,} are left: {made - left:,} too many")
    return said
