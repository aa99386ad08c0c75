"""Where to go next: pure functions of the state, so that one edited by hand (Studio, `update_state`) is routed too.

Whether to fold depends on settings, too, and a resume may set some for itself: those come with the config.
"""

from __future__ import annotations

from typing import Literal

from langchain_core.runnables import RunnableConfig

from graph.context import NOTHING_SET
from graph.state import Pending, State
from nodes.folding import due

AfterEntry = Literal["sanitize", "act", "approve", "compress_history", "reason"]
AfterReason = Literal["finish", "act", "approve", "reason"]
AfterApprove = Literal["finish", "act", "approve", "compress_history", "reason"]
AfterCompress = Literal["finish", "reason"]
WithResults = Literal["approve", "compress_history", "reason"]
AfterAct = Literal["finish", "sanitize", "approve", "compress_history", "reason"]
AfterSanitize = Literal["finish", "approve", "compress_history", "reason"]


def on_entry(state: State, config: RunnableConfig = NOTHING_SET) -> AfterEntry:
    """A new message neither discards a question nor loses what a cut-off run had begun.

    A history also grows by turns without calls: what is too much is folded before the next one.
    """
    if state.get("outcome"):
        return "compress_history" if due(state, config) else "reason"
    if state.get("untrusted"):
        return "sanitize"
    if _has(state, "ready"):
        return "act"
    return "approve" if _has(state, "ask") else "reason"


def after_reason(state: Pending) -> AfterReason:
    """Run what may run before asking for what may not; back to the model when every call was refused."""
    if state.get("outcome"):
        return "finish"
    if _has(state, "ready"):
        return "act"
    return "approve" if _has(state, "ask") else "reason"


def after_approve(state: State, config: RunnableConfig = NOTHING_SET) -> AfterApprove:
    """What was decided runs at once; what was not is asked again."""
    if state.get("outcome"):
        return "finish"
    return "act" if _has(state, "ready") else _with_results(state, config)


def after_act(state: State, config: RunnableConfig = NOTHING_SET) -> AfterAct:
    """Untrusted output is cleaned before anything else sees it."""
    if state.get("outcome"):
        return "finish"
    return "sanitize" if state.get("untrusted") else _with_results(state, config)


def after_sanitize(state: State, config: RunnableConfig = NOTHING_SET) -> AfterSanitize:
    """Ask for what is undecided, fold what is too long, then let the model go on."""
    return "finish" if state.get("outcome") else _with_results(state, config)


def after_compress_history(state: Pending) -> AfterCompress:
    """Back to the model."""
    return "finish" if state.get("outcome") else "reason"


def _with_results(state: State, config: RunnableConfig) -> WithResults:
    if _has(state, "ask"):
        return "approve"
    return "compress_history" if due(state, config) else "reason"


def _has(state: Pending, status: Literal["ready", "ask"]) -> bool:
    return any(call["status"] == status for call in state.get("calls", []))
