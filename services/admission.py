"""Whether a plan fits what the run has left, before its first call: each excess is said exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph.budget import Left
from graph.context import Context, limits_by_tool
from graph.plan import SUBTASK, Estimate, Task
from graph.state import Usage
from graph.tools import Assessment
from services.references import references
from services.subtask import read_subtask

Assess = Callable[[str, Mapping[str, Any]], Awaitable[Assessment]]
"""See `graph.tools.Tools.assess`."""
Usd = Callable[[int, int], float]
"""US dollars for so many tokens of prompt and of reply."""

MOST_FOLLOWERS = 100
"""Most tasks that may need the same one directly."""

RESULT_TOKENS = 500
"""What a result adds to the prompt of the answer: a page of text. An estimate: results differ."""
PASS_TOKENS, REPLY_TOKENS = 1_500, 300
"""Prompt and reply of one pass of a sub-task. An estimate."""
ANSWER_TOKENS = 500
"""The reply that answers from the results. An estimate."""


def estimated(task: Task, usd: Usd) -> Estimate:
    """What the task may take."""
    calls, prompt, reply = 1, RESULT_TOKENS, 0
    if task["tool"] == SUBTASK:
        try:
            asked = read_subtask(task["args"])
        except ValueError:  # told by `excesses`
            return Estimate(calls=0, tokens=0, cost_usd=0.0)
        calls = asked.max_tool_calls
        prompt += asked.max_iterations * PASS_TOKENS
        reply = asked.max_iterations * REPLY_TOKENS
    return Estimate(calls=calls, tokens=prompt + reply, cost_usd=usd(prompt, reply))


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the run has left, and what it has to be measured by."""

    usage: Usage
    """Spent so far."""
    context: Context
    left: Left
    usd: Usd


async def excesses(tasks: Sequence[Task], assess: Assess, room: Room) -> list[str]:
    """A line for each thing by which the plan does not fit; none when it does."""
    found = [*_spending(tasks, room), *_followers(tasks)]
    return [*found, *await _of_tools(tasks, assess, room.usage, room.context)]


def _spending(tasks: Sequence[Task], room: Room) -> list[str]:
    estimates, left = [estimated(task, room.usd) for task in tasks], room.left
    calls = sum(one["calls"] for one in estimates)
    tokens = sum(one["tokens"] for one in estimates) + ANSWER_TOKENS
    cost = sum(one["cost_usd"] for one in estimates) + room.usd(0, ANSWER_TOKENS)
    calls_left = max(room.context.max_tool_calls - room.usage["tool_calls"], 0)
    passes = 1 + sum(task["tool"] == SUBTASK for task in tasks)
    passes_left = max(room.context.max_iterations - room.usage["iterations"], 0)
    said = []
    if passes > passes_left:
        said.append(
            f"iterations: its sub-tasks and the answer take {passes:,} at least, {passes_left:,} are left: "
            f"{passes - passes_left:,} too many"
        )
    if calls > calls_left:
        said.append(f"tool calls: the plan makes {calls:,}, {calls_left:,} are left: {calls - calls_left:,} too many")
    if tokens > left.tokens:
        there = max(left.tokens, 0)
        said.append(f"tokens: the plan takes about {tokens:,}, {there:,} are left: {tokens - there:,} too many")
    if cost > left.usd:
        usd = max(left.usd, 0.0)
        said.append(f"cost: the plan takes about {cost:.4f} USD, {usd:.4f} are left: {cost - usd:.4f} too much")
    return said


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
        if task["tool"] == SUBTASK:
            said += _of_subtask(task)
            continue
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


def _of_subtask(task: Task) -> list[str]:
    try:
        read_subtask(task["args"])
    except ValueError as wrong:
        return [f"{task['id']}: {wrong}"]
    return []
