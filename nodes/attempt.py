"""What comes of one task in a pass over its plan. Stored as the task ends."""

from __future__ import annotations

from langchain_core.messages import ToolMessage
from typing_extensions import TypedDict  # typing's own has no schema before Python 3.12

from graph.guards import Finding
from graph.plan import TaskResult
from graph.provenance import Origin
from graph.state import Call, Outcome


class Attempt(TypedDict, total=False):
    """Nothing is in it when the task could not begin: what it needs is not there."""

    call: Call
    """As it was made: what its arguments refer to filled in. Without a result it waits for a person, or its turn."""
    new: bool
    """Made in this pass: the history does not have it yet."""
    result: TaskResult
    message: ToolMessage
    """The result as the model sees it."""
    findings: list[Finding]
    origins: list[Origin]
    """What of the result later arguments may come from."""
    digest: str
    """Of its effect."""
    occurrence: int
    """How often this effect had run before on this branch."""
    made: list[str]
    """Tools that were called, and count."""
    done: list[str]
    """Those of them that succeeded."""
    passes: int
    """Of a sub-task through its model."""
    stopped: tuple[Outcome, str]
    """A limit of the run was reached in it: which, and how."""


def failed(call: Call, why: str) -> Attempt:
    """A new call that can't run."""
    message = ToolMessage(why, tool_call_id=call["id"], name=call["name"], id=f"r-{call['id']}", status="error")
    return {"call": call, "new": True, "result": {"stands": "failed", "text": why}, "message": message}
