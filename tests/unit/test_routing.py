from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from graph import routing
from graph.state import State

READY = [{"status": "ready"}]
ASK = [{"status": "ask"}]
BOTH = READY + ASK


def _state(results: int = 0, **fields: Any) -> State:
    calls = [{"name": "f", "args": {}, "id": str(n)} for n in range(results)]
    pairs = [(AIMessage("", tool_calls=[call]), ToolMessage("x", tool_call_id=call["id"])) for call in calls]
    messages = [message for pair in pairs for message in pair]
    return {"messages": messages, "settings": {"keep_tool_results": 2}, **fields}  # type: ignore[typeddict-item]  # parts of a state


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({}, "reason"),
        ({"calls": []}, "reason"),
        ({"calls": READY}, "act"),
        ({"calls": ASK}, "approve"),
        ({"calls": BOTH}, "act"),
        ({"calls": ASK, "untrusted": [{}]}, "sanitize"),
        ({"calls": BOTH, "outcome": "stopped_tool_calls"}, "reason"),
    ],
)
def test_a_new_message_loses_neither_a_question_nor_what_was_begun(fields: dict[str, Any], to: str) -> None:
    assert routing.on_entry(_state(**fields)) == to


def test_a_new_run_begins_with_folding_where_its_thread_is_too_long() -> None:
    assert routing.on_entry(_state(results=3, outcome="completed")) == "compress_history"
    assert routing.on_entry(_state(results=3)) == "reason"


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({"calls": []}, "reason"),
        ({"calls": READY}, "act"),
        ({"calls": ASK}, "approve"),
        ({"calls": BOTH}, "act"),
        ({"calls": BOTH, "outcome": "stopped_tool_calls"}, "finish"),
        ({"outcome": "completed"}, "finish"),
    ],
)
def test_after_reason(fields: dict[str, Any], to: str) -> None:
    assert routing.after_reason(_state(**fields)) == to


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({"calls": READY}, "act"),
        ({"calls": BOTH}, "act"),
        ({"calls": ASK}, "approve"),
        ({"calls": []}, "reason"),
        ({"calls": [], "results": 3}, "compress_history"),
        ({"calls": [], "outcome": "cancelled"}, "finish"),
    ],
)
def test_after_approve(fields: dict[str, Any], to: str) -> None:
    assert routing.after_approve(_state(**fields)) == to


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({"untrusted": [{}], "calls": ASK}, "sanitize"),
        ({"calls": ASK, "results": 3}, "approve"),
        ({"results": 3}, "compress_history"),
        ({"results": 2}, "reason"),
    ],
)
def test_after_act(fields: dict[str, Any], to: str) -> None:
    assert routing.after_act(_state(**fields)) == to


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({"calls": ASK}, "approve"),
        ({"results": 3}, "compress_history"),
        ({"results": 1}, "reason"),
        ({"results": 5, "settings": {}}, "reason"),
        ({"results": 6, "settings": {}}, "reason"),
        ({"results": 6, "settings": {"window_tokens": 4_096}}, "reason"),
    ],
)
def test_after_sanitize(fields: dict[str, Any], to: str) -> None:
    assert routing.after_sanitize(_state(**fields)) == to
