"""Changes of a random plan's state from outside, as in Studio, between two of its super-steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateUpdate

from app.report import next_nodes
from app.runs import Runs
from services.references import references
from tests.integration.plan_cases import Edit
from tests.integration.plan_tools import Log


async def edited(runs: Runs, thread: str, edit: Edit, log: Log) -> None:
    """Change a task that was not begun, if the thread lies between two super-steps and has one."""
    snapshot = await runs.known(thread)
    planned = next_nodes(snapshot) == ["execute"] and not any(entry["kind"] == "begin" for entry in log.read())
    if not (planned or snapshot.interrupts):
        return
    tasks: list[dict[str, Any]] = snapshot.values.get("tasks", [])
    open_tasks = [at for at, task in enumerate(tasks) if _may_be_changed(task, snapshot.values)]
    if not open_tasks:
        return
    at = open_tasks[edit["task"] % len(open_tasks)]
    changed = [*tasks[:at], _changed(tasks[at], tasks[:at], edit), *tasks[at + 1 :]]
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    update = StateUpdate({"tasks": changed}, as_node="plan" if planned else "execute")
    await runs.plan.abulk_update_state(config, [[update]])
    now = changed[at]
    log.write("edited", task=now["id"], needs=now["needs"], about=now["args"].get("about"), part=edit["kind"])


def _may_be_changed(task: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """No call was made of it, and it is not one of several equal ones: those the log tells apart only as planned."""
    asked = {call["id"] for call in values.get("calls", [])}
    called = {call["id"] for one in values["messages"] for call in getattr(one, "tool_calls", ())}
    begun = task["id"] in values.get("results", {}) or task["call_id"] in asked | called
    return not begun and task["args"].get("label") != "same"


def _changed(task: dict[str, Any], before: Sequence[Mapping[str, Any]], edit: Edit) -> dict[str, Any]:
    referred = [one.task for one in references(task["args"])]
    match edit["kind"]:
        case "about" if "about" in task["args"]:
            return {**task, "args": {**task["args"], "about": "edited"}}
        case "wait" if before:
            return {**task, "needs": list(dict.fromkeys([*task["needs"], before[edit["task"] % len(before)]["id"]]))}
        case _:
            return {**task, "needs": list(dict.fromkeys(referred))}
