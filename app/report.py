"""The JSON shapes the command line prints."""

from __future__ import annotations

from typing import Any

from langgraph.types import StateSnapshot

from app.lifespan import Opened
from app.plan_view import TaskView, mermaid, tasks_of
from graph.approvals import Approval
from graph.state import Outcome, no_usage
from nodes.decisions import waiting_as
from services.totals import of_thread

EXIT_CODES: dict[str, int] = {
    "completed": 0,
    "awaiting_approval": 3,
    "handed_to_person": 3,
    "stopped_iterations": 4,
    "stopped_tool_calls": 4,
    "stopped_tokens": 4,
    "stopped_cost": 4,
    "stopped_deadline": 4,
    "cancelled": 4,
}
"""Every other outcome is a failure: 1."""


def next_nodes(snapshot: StateSnapshot) -> list[str]:
    """The nodes of the next super-step.

    Not `snapshot.next`: that leaves out a node whose writes are stored when the process was cut off before
    the checkpoint that holds them, and the thread would look finished.
    """
    return [task.name for task in snapshot.tasks]


def outcome_of(snapshot: StateSnapshot) -> Outcome | None:
    """How the thread stands; None when it was cut off and can be resumed."""
    if snapshot.interrupts:
        actions = [action for one in snapshot.interrupts for action in one.value["action_requests"]]
        return waiting_as(action["risk"] for action in actions)
    outcome: Outcome | None = None if next_nodes(snapshot) else snapshot.values.get("outcome")
    return outcome


def exit_code(result: dict[str, Any], *, plan_only: bool = False) -> int:
    """What the command line ends with. A plan that was to be made, and was, is no failure: nothing of it has run."""
    if plan_only and result["outcome"] is None:
        return 0
    return EXIT_CODES.get(result["outcome"] or "", 1)


async def plan_of(opened: Opened, snapshot: StateSnapshot) -> list[TaskView]:
    """The tasks of the thread's current run; none when its graph makes no plan."""
    row = await opened.runs.get(snapshot.config["configurable"]["thread_id"])
    return tasks_of(snapshot.values, next_nodes(snapshot)) if row and row.graph == "plan" else []


async def report(opened: Opened, snapshot: StateSnapshot) -> dict[str, Any]:
    """What `run`, `resume` and `replay` print."""
    configurable = snapshot.config["configurable"]
    thread_id = configurable["thread_id"]
    usage = {**no_usage(), **snapshot.values.get("usage", {})}
    faults, tasks = usage["faults"], await plan_of(opened, snapshot)
    return {
        "thread_id": thread_id,
        "outcome": outcome_of(snapshot),
        "answer": "" if next_nodes(snapshot) else snapshot.values.get("answer", ""),
        "checkpoint_id": configurable.get("checkpoint_id"),
        "usage": {name: usage[name] for name in _SPENT},
        "totals": of_thread(snapshot.values),
        **({"faults": faults} if faults else {}),
        **({"plan": [_printed(task) for task in tasks], "mermaid": mermaid(tasks)} if tasks else {}),
        "approvals": [
            {key: value for key, value in shape(row).items() if key in _IN_RUN}
            for row in await opened.approvals.find(thread_id=thread_id)
        ],
    }


def _printed(task: TaskView) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name != "call_id"}


_SPENT = ("iterations", "model_calls", "tool_calls", "prompt_tokens", "completion_tokens", "cost_usd", "seconds")
_IN_RUN = ("id", "interrupt_id", "tool", "args", "risk", "reason", "deadline", "status", "effect_key")


def shape(row: Approval) -> dict[str, Any]:
    """An approval as `approvals list` prints it; `effect_key` is there when it is about an effect in doubt."""
    return {
        "id": row.id,
        "thread_id": row.thread_id,
        "interrupt_id": row.interrupt_id,
        "tool": row.tool,
        "args": row.args,
        "risk": row.risk,
        "reason": row.reason,
        "deadline": row.deadline.isoformat() if row.deadline else None,
        "status": row.status,
        "decided_by": row.decided_by,
        "decision": row.decision,
        "decided_at": row.decided_at.isoformat() if row.decided_at else None,
        "requester": row.requester,
        "origins": row.origins,
        **({"effect_key": row.effect_key} if row.effect_key else {}),
    }
