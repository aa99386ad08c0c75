"""Reads a planner's reply: the tasks of its plan, or why it is none."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from langchain_core.messages import AIMessage

from graph.plan import Task, TaskResult
from services.references import TASK_ID, references

PLAN = "plan"
"""The tool a planner answers with."""
MOST_TASKS = 1_000
"""A plan beyond it is not read any further."""
TOLD = 10
"""Most faults a planner is told of at once."""
FAULT_CHARS = 300
"""What is told of each."""
SAID_CHARS = 240
"""What a planner's own words are repeated of: they may say why there is no plan."""
DEEPEST = 50
"""How deep the arguments of a task may be nested."""

_FIELDS = {"id", "tool", "args", "needs"}


NONE_ENDED: Mapping[str, TaskResult] = {}


class Unreadable(Exception):
    """The reply is no plan. `faults` has a line for each thing that is wrong with it."""

    def __init__(self, *faults: str) -> None:
        self.faults = told(faults)
        super().__init__("; ".join(self.faults))


def told(faults: Sequence[str]) -> list[str]:
    """Faults, or excesses, as a planner is told them: no more than it can use, whatever it wrote."""
    more = [f"and {len(faults) - TOLD} more"] if len(faults) > TOLD else []
    return [*(fault[:FAULT_CHARS] for fault in faults[:TOLD]), *more]


def read_plan(
    reply: AIMessage, ended: Mapping[str, TaskResult] = NONE_ENDED, dropped: Collection[str] = ()
) -> list[Task]:
    """The tasks, each behind all it needs; once some have `ended` before, there may be none.

    They have no id of those that ended or were `dropped`, and may need those that are done.

    Raises:
        Unreadable: the reply makes no plan, or one that can't be run in any order.
    """
    calls = [call for call in reply.tool_calls if call["name"] == PLAN]
    if len(calls) != 1 or len(reply.tool_calls) != 1:
        said = " ".join(str(reply.text).split())[:SAID_CHARS].rstrip(".")
        raise Unreadable(f"answer by calling {PLAN} once, and nothing else" + (f"; it said: {said}" if said else ""))
    listed = calls[0]["args"].get("tasks")
    if ended and listed == []:
        return []
    if not isinstance(listed, list) or not listed:
        raise Unreadable("the plan has no tasks: give at least one")
    if len(listed) > MOST_TASKS:
        raise Unreadable(f"the plan has {len(listed):,} tasks: {MOST_TASKS:,} are read at most")
    if faults := [fault for number, one in enumerate(listed, start=1) for fault in _misshapen(number, one)]:
        raise Unreadable(*faults)
    if twice := [name for name, times in Counter(one["id"] for one in listed).items() if times > 1]:
        raise Unreadable(*(f"{name}: several tasks have this id" for name in twice))
    if taken := [name for one in listed if (name := one["id"]) in ended or name in dropped]:
        raise Unreadable(*(f"{name}: an earlier task has this id, take another" for name in taken))
    known = {one["id"] for one in listed} | {name for name, one in ended.items() if one["stands"] == "done"}
    tasks = [_task(one, reply.id or "") for one in listed]
    if faults := [fault for task in tasks for fault in _unmet(task, known)]:
        raise Unreadable(*faults)
    return _in_order(tasks)


def _misshapen(number: int, one: Any) -> list[str]:
    if not isinstance(one, Mapping):
        return [f"task {number} is no object"]
    name = one.get("id")
    if not isinstance(name, str) or not TASK_ID.fullmatch(name):
        return [f"task {number}: its id must be a word of 1 to 64 letters, digits, _ or -, beginning with a letter"]
    faults = []
    if not isinstance(one.get("tool"), str):
        faults.append(f"{name}: tool must be the name of one")
    if not isinstance(one.get("args", {}), Mapping) or not _is_flat(one.get("args", {}), DEEPEST):
        faults.append(f"{name}: args must be an object, nested {DEEPEST} levels deep at most")
    needs = one.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        faults.append(f"{name}: needs must be a list of ids")
    if unknown := sorted(str(field) for field in one.keys() - _FIELDS):
        faults.append(f"{name}: {', '.join(unknown)} is no field of a task: use {', '.join(sorted(_FIELDS))}")
    return faults


def _is_flat(value: Any, levels: int) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_flat(part, levels - 1) for part in parts)


def _task(one: Mapping[str, Any], plan_id: str) -> Task:
    args = dict(one.get("args", {}))
    needs = dict.fromkeys([*one.get("needs", []), *(found.task for found in references(args))])
    digest = hashlib.sha256(json.dumps([plan_id, one["id"]]).encode()).hexdigest()
    return Task(id=one["id"], tool=one["tool"], args=args, needs=list(needs), call_id=f"call_{digest[:24]}")


def _unmet(task: Task, known: set[str]) -> list[str]:
    faults = [
        f"{task['id']}: needs {need!r}, which is no task of this plan" for need in task["needs"] if need not in known
    ]
    if task["id"] in task["needs"]:
        faults.append(f"{task['id']}: needs itself")
    return faults


def _in_order(tasks: list[Task]) -> list[Task]:
    by_id = {task["id"]: task for task in tasks}
    try:
        order = list(TopologicalSorter({task["id"]: task["needs"] for task in tasks}).static_order())
    except CycleError as cycle:
        raise Unreadable(f"these tasks need each other in a circle: {' -> '.join(reversed(cycle.args[1]))}") from None
    return [by_id[name] for name in order if name in by_id]
