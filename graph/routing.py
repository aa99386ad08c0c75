"""Where to go next: pure functions of state and settings."""

from __future__ import annotations

from typing import Literal

from langgraph.runtime import Runtime

from graph.context import Run
from graph.state import State
from nodes.compress_history import foldable

AfterReason = Literal["finish", "act", "approve", "reason"]
AfterApprove = Literal["finish", "act", "approve", "compress_history", "reason"]
AfterAct = Literal["sanitize", "approve", "compress_history", "reason"]
AfterSanitize = Literal["approve", "compress_history", "reason"]


def on_entry(state: State) -> Literal["approve", "reason"]:
    """A new message on a thread that still waits for a person does not discard the question."""
    return "approve" if _has(state, "ask") else "reason"


def after_reason(state: State) -> AfterReason:
    """Run what may run before asking for what may not; back to the model when every call was refused."""
    if state.get("outcome"):
        return "finish"
    if _has(state, "ready"):
        return "act"
    return "approve" if _has(state, "ask") else "reason"


def after_approve(state: State, runtime: Runtime[Run]) -> AfterApprove:
    """What was decided runs at once; what was not is asked again."""
    if state.get("outcome"):
        return "finish"
    return "act" if _has(state, "ready") else _with_results(state, runtime)


def after_act(state: State, runtime: Runtime[Run]) -> AfterAct:
    """Untrusted output is cleaned before anything else sees it."""
    return "sanitize" if state.get("untrusted") else _with_results(state, runtime)


def after_sanitize(state: State, runtime: Runtime[Run]) -> AfterSanitize:
    """Ask for what is undecided, fold what is too long, then let the model go on."""
    return _with_results(state, runtime)


def _with_results(state: State, runtime: Runtime[Run]) -> AfterSanitize:
    if _has(state, "ask"):
        return "approve"
    keep = runtime.context.context(state).keep_tool_results
    return "compress_history" if foldable(state["messages"], keep) else "reason"


def _has(state: State, status: Literal["ready", "ask"]) -> bool:
    return any(call["status"] == status for call in state.get("calls", []))
