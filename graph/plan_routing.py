"""Where to go next in the `plan` graph: pure functions of the state, as in `graph/routing.py`."""

from __future__ import annotations

from typing import Literal

from langchain_core.runnables import RunnableConfig

from graph.context import NOTHING_SET
from graph.plan import MOST_REPLANS, failures
from graph.state import PlanPending, State, request_id
from nodes.folding import due

OnEntry = Literal["sanitize", "compress_history", "plan", "execute", "approve"]
AfterSanitize = Literal["plan", "execute", "approve"]
AfterPlan = Literal["finish", "execute", "join"]
AfterExecute = Literal["finish", "approve", "compress_history", "plan", "join"]
AfterCompress = Literal["finish", "plan", "join"]
AfterApprove = Literal["finish", "execute"]


def on_entry(state: State, config: RunnableConfig = NOTHING_SET) -> OnEntry:
    """A new message neither discards a question nor loses what a cut-off run had begun; a long history is folded."""
    if state.get("outcome"):
        return "compress_history" if due(state, config) else "plan"
    if state.get("untrusted"):
        return "sanitize"
    return after_sanitize(state)


def after_sanitize(state: PlanPending) -> AfterSanitize:
    """Go on with the plan, or make one."""
    statuses = {call["status"] for call in state.get("calls", [])}
    if "ready" in statuses:
        return "execute"
    if "ask" in statuses:
        return "approve"
    return "execute" if state.get("tasks") else "plan"


def after_plan(state: PlanPending) -> AfterPlan:
    """Run the tasks, if any are left to run."""
    if state.get("outcome"):
        return "finish"
    results = state.get("results", {})
    return "execute" if any(task["id"] not in results for task in state.get("tasks", [])) else "join"


def after_execute(state: State, config: RunnableConfig = NOTHING_SET) -> AfterExecute:
    """All that could run did: ask for all that waits, fold what is too long, then plan for what failed, or answer."""
    if state.get("outcome"):
        return "finish"
    if state.get("calls"):
        return "approve"
    return "compress_history" if due(state, config) else _with_results(state)


def after_compress_history(state: State) -> AfterCompress:
    """To the model that was about to be asked."""
    return "finish" if state.get("outcome") else _with_results(state)


def _with_results(state: State) -> Literal["plan", "join"]:
    if state.get("planned_for") != request_id(state["messages"]):
        return "plan"
    return "plan" if failures(state) and state.get("replans", 0) < MOST_REPLANS else "join"


def after_approve(state: PlanPending) -> AfterApprove:
    """Each decision sets its branch going, also while others wait."""
    return "finish" if state.get("outcome") else "execute"
