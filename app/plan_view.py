"""A thread's plan as people and programs see it: its tasks with how each stands, and the same as Mermaid text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import ToolMessage
from typing_extensions import TypedDict  # as the state's own

from app.visible import visible
from graph.plan import Estimate

Standing = Literal["done", "failed", "refused", "waiting", "open", "not_run", "dropped"]
"""`waiting`: for a person. `open`: it runs, or will. `not_run`: what it needs gave nothing, or its run ended first.
`dropped`: another plan of its run took the place of the one it stood in."""

STANDINGS: tuple[Standing, ...] = ("done", "failed", "refused", "waiting", "open", "not_run", "dropped")

WORDS: dict[Standing, str] = {
    "done": "done",
    "failed": "failed",
    "refused": "refused",
    "waiting": "waits for a person",
    "open": "open",
    "not_run": "not run",
    "dropped": "dropped by a replan",
}
"""The same for people."""

LABEL_CHARS = 64
"""What Mermaid is given of a name."""

_PLAIN = frozenset(" _-.,:/()+")
_CLASSES: dict[Standing, str] = {
    "done": "fill:#e6f4ea,stroke:#2b7a3d,color:#1c1e21",
    "failed": "fill:#fbeae8,stroke:#ad2b22,color:#1c1e21",
    "refused": "fill:#fbeae8,stroke:#ad2b22,color:#1c1e21,stroke-dasharray:4 3",
    "waiting": "fill:#e9edfb,stroke:#3450c4,color:#1c1e21,stroke-width:2px",
    "open": "fill:#ffffff,stroke:#8a9099,color:#1c1e21",
    "not_run": "fill:#f0f0ec,stroke:#8a9099,color:#5d636b,stroke-dasharray:4 3",
    "dropped": "fill:#f0f0ec,stroke:#8a9099,color:#5d636b,stroke-dasharray:1 3",
}


class TaskView(TypedDict):
    """One task of a plan."""

    id: str
    tool: str
    args: dict[str, Any]
    """As planned: `"$t1.field"` stands for what task t1 gave."""
    needs: list[str]
    stands: Standing
    estimate: Estimate | None
    call_id: str
    """Of its call in the history and in its approval."""


def tasks_of(values: Mapping[str, Any], due: Sequence[str]) -> list[TaskView]:
    """The tasks of the current run in a state of the plan graph; none until its plan is made. `due` are nodes to run.

    A state may be edited from outside: what is no task in it is left out.
    """
    if values.get("outcome") and due and "finish" not in due:
        return []  # those of the run before: a new request has just arrived
    tasks = [found for one in _mappings(values.get("tasks")) if (found := _read(one))]
    ended = _settled(values, tasks) if due else {}
    ended |= _results(values)
    asked = {call.get("id") for call in _mappings(values.get("calls")) if call.get("status") == "ask"}
    lost = {name for name, stands in ended.items() if stands != "done"}
    for task in tasks:
        if task["id"] in ended:
            task["stands"] = ended[task["id"]]
        elif task["call_id"] in asked:
            task["stands"] = "waiting"
        elif not due or lost.intersection(task["needs"]):
            task["stands"] = "not_run"
            lost.add(task["id"])
    dropped = (found for one in _mappings(values.get("dropped")) if (found := _read(one, "dropped")))
    return [*tasks, *(one for one in dropped if one["id"] not in {task["id"] for task in tasks})]


def _results(values: Mapping[str, Any]) -> dict[str, Standing]:
    results = values.get("results")
    return {
        name: standing
        for name, result in (results if isinstance(results, Mapping) else {}).items()
        for standing in STANDINGS
        if isinstance(result, Mapping) and result.get("stands") == standing
    }


def _settled(values: Mapping[str, Any], tasks: Sequence[TaskView]) -> dict[str, Standing]:
    """What a person settled, and becomes a task's result as soon as its plan goes on."""
    told = {one.tool_call_id: one.status for one in values.get("messages", []) if isinstance(one, ToolMessage)}
    return {
        task["id"]: "done" if told[task["call_id"]] == "success" else "refused"
        for task in tasks
        if task["call_id"] in told
    }


def _mappings(several: Any) -> list[Mapping[str, Any]]:
    return [one for one in several if isinstance(one, Mapping)] if isinstance(several, list) else []


def _read(one: Mapping[str, Any], stands: Standing = "open") -> TaskView | None:
    if not isinstance(one.get("id"), str):
        return None
    args, needs = one.get("args"), one.get("needs")
    return TaskView(
        id=one["id"],
        tool=str(one.get("tool", "")),
        args=dict(args) if isinstance(args, Mapping) else {},
        needs=[need for need in needs if isinstance(need, str)] if isinstance(needs, list) else [],
        stands=stands,
        estimate=one.get("estimate"),
        call_id=str(one.get("call_id", "")),
    )


def counted(tasks: Sequence[TaskView]) -> list[tuple[Standing, int]]:
    """How many stand how, in the order of STANDINGS; those there are."""
    found = Counter(task["stands"] for task in tasks)
    return [(standing, found[standing]) for standing in STANDINGS if found[standing]]


def mermaid(tasks: Sequence[TaskView]) -> str:
    """A flowchart. Nodes are n0, n1, ... in the order of the tasks: names are a model's, and stand only in labels."""
    numbers = {task["id"]: number for number, task in enumerate(tasks)}
    lines = ["flowchart LR"]
    for number, task in enumerate(tasks):
        label = f"{_label(task['id'])}<br/>{_label(task['tool'])}<br/>{WORDS[task['stands']]}"
        lines.append(f'    n{number}["{label}"]:::{task["stands"]}')
    lines += [
        f"    n{numbers[need]} --> n{number}"
        for number, task in enumerate(tasks)
        for need in dict.fromkeys(task["needs"])
        if need in numbers
    ]
    lines += [f"    classDef {standing} {_CLASSES[standing]}" for standing, _ in counted(tasks)]
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    """Letters and digits of any script, and a few signs; every other character by its number, as Mermaid reads it."""
    short = visible(" ".join(text.split()))
    if len(short) > LABEL_CHARS:
        short = short[: LABEL_CHARS - 1] + "…"
    return "".join(char if char.isalnum() or char in _PLAIN else f"#{ord(char)};" for char in short)
