"""What a replay would do, without doing it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from langgraph.types import StateSnapshot

from app.lifespan import Opened
from app.plan_view import tasks_of
from app.report import next_nodes


async def preview(opened: Opened, snapshot: StateSnapshot) -> dict[str, Any]:
    """The nodes and calls next in line, and the effects whose stored results would be returned.

    An effect is reused when it is done and was started after this checkpoint: the ledger finds it by
    thread, tool, arguments and how many times the same call had run before.
    """
    configurable = snapshot.config["configurable"]
    seen: Counter[str] = Counter()
    before = snapshot.values.get("intents", {})
    reused = []
    for effect in await opened.ledger.of_thread(configurable["thread_id"]):
        digest = opened.services.tools.intent(effect["tool"], effect["args"]) or ""
        seen[digest] += 1
        if effect["state"] == "done" and seen[digest] > before.get(digest, 0):
            reused.append({"key": effect["key"], "tool": effect["tool"], "args": effect["args"]})
    return {
        "thread_id": configurable["thread_id"],
        "checkpoint_id": configurable["checkpoint_id"],
        "next": next_nodes(snapshot),
        "calls": [*_with_status(snapshot, "ready"), *_open_tasks(snapshot)],
        "asks": _with_status(snapshot, "ask"),
        "effects_reused": reused,
    }


def _with_status(snapshot: StateSnapshot, status: str) -> list[dict[str, Any]]:
    calls = snapshot.values.get("calls", [])
    return [{"tool": call["name"], "args": call["args"]} for call in calls if call["status"] == status]


def _open_tasks(snapshot: StateSnapshot) -> list[dict[str, Any]]:
    """The calls of a plan that have no result yet, as planned; those that wait for a person are asked about."""
    due = next_nodes(snapshot)
    made = {call["id"] for call in snapshot.values.get("calls", [])}
    tasks = tasks_of(snapshot.values, due) if "execute" in due else []
    return [
        {"tool": task["tool"], "args": task["args"]}
        for task in tasks
        if task["stands"] == "open" and task["call_id"] not in made
    ]
