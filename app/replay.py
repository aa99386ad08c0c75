"""What a replay would do, without doing it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from langgraph.types import StateSnapshot

from app.lifespan import Opened
from app.plan_view import tasks_of
from app.report import next_nodes
from graph.tools import Tools


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
    runs, asks = await _open_tasks(opened.services.tools, snapshot)
    return {
        "thread_id": configurable["thread_id"],
        "checkpoint_id": configurable["checkpoint_id"],
        "next": next_nodes(snapshot),
        "calls": [*_with_status(snapshot, "ready"), *runs],
        "asks": [*_with_status(snapshot, "ask"), *asks],
        "effects_reused": reused,
    }


def _with_status(snapshot: StateSnapshot, status: str) -> list[dict[str, Any]]:
    calls = snapshot.values.get("calls", [])
    return [{"tool": call["name"], "args": call["args"]} for call in calls if call["status"] == status]


async def _open_tasks(tools: Tools, snapshot: StateSnapshot) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The calls of a plan that have no result yet, as planned: those that would run, and those that would be asked."""
    runs: list[dict[str, Any]] = []
    asks: list[dict[str, Any]] = []
    due, made = next_nodes(snapshot), {call["id"] for call in snapshot.values.get("calls", [])}
    for task in tasks_of(snapshot.values, due) if "execute" in due else []:
        if task["stands"] == "open" and task["call_id"] not in made:
            found = await tools.assess(task["tool"], task["args"])
            # What it refers to is not there yet: then an effect is asked about, as far as can be told.
            asked = tools.intent(task["tool"], task["args"]) is not None if found.error else found.risk != "low"
            (asks if asked else runs).append({"tool": task["tool"], "args": task["args"]})
    return runs, asks
