from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from graph import plan_routing as routing
from graph.plan import MOST_REPLANS
from graph.state import State

TASKS = [{"id": "a"}, {"id": "b"}]
DONE, FAILED = {"stands": "done", "text": ""}, {"stands": "failed", "text": ""}
ASK, READY = {"status": "ask"}, {"status": "ready"}


def _state(**fields: Any) -> State:
    said = [HumanMessage("go", id="m1")]
    return {"messages": said, "planned_for": "m1", **fields}  # type: ignore[typeddict-item]  # parts of a state


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({}, "plan"),
        ({"tasks": TASKS}, "execute"),
        ({"tasks": TASKS, "calls": [ASK]}, "approve"),
        ({"tasks": TASKS, "calls": [ASK, READY]}, "execute"),
        ({"tasks": TASKS, "calls": [ASK], "untrusted": [{}]}, "sanitize"),
        ({"tasks": TASKS, "calls": [ASK], "outcome": "completed"}, "plan"),
    ],
)
def test_a_new_message_loses_neither_a_question_nor_what_was_begun(fields: dict[str, Any], to: str) -> None:
    assert routing.on_entry(_state(**fields)) == to


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({"tasks": TASKS, "results": {}}, "execute"),
        ({"tasks": TASKS, "results": {"a": DONE}}, "execute"),
        ({"tasks": TASKS, "results": {"a": DONE, "b": FAILED}}, "join"),
        ({"tasks": [], "results": {}}, "join"),
        ({"tasks": TASKS, "outcome": "plan_rejected"}, "finish"),
    ],
)
def test_after_plan(fields: dict[str, Any], to: str) -> None:
    assert routing.after_plan(_state(**fields)) == to


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({"results": {"a": DONE}}, "join"),
        ({"results": {"a": FAILED}}, "plan"),
        ({"results": {"a": FAILED}, "calls": [ASK]}, "approve"),
        ({"results": {"a": FAILED}, "replanned": ["a"]}, "join"),
        ({"results": {"a": FAILED, "b": FAILED}, "replanned": ["a"], "replans": 1}, "plan"),
        ({"results": {"a": FAILED}, "replans": MOST_REPLANS}, "join"),
        ({"results": {"a": DONE}, "planned_for": "m0"}, "plan"),
        ({"results": {"a": DONE}, "planned_for": "m0", "calls": [ASK]}, "approve"),
        ({"results": {"a": FAILED}, "outcome": "stopped_deadline"}, "finish"),
    ],
)
def test_after_execute(fields: dict[str, Any], to: str) -> None:
    assert routing.after_execute(_state(**fields)) == to


LONG = [
    HumanMessage("go", id="m1"),
    AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "a"}]),
    ToolMessage("word " * 20_000, tool_call_id="a", name="f"),
]


@pytest.mark.parametrize(
    ("fields", "first", "then"),
    [
        ({"results": {"a": DONE}}, "compress_history", "join"),
        ({"results": {"a": FAILED}}, "compress_history", "plan"),
        ({"results": {"a": DONE}, "calls": [ASK]}, "approve", "join"),
        ({"results": {"a": DONE}, "outcome": "stopped_tokens"}, "finish", "finish"),
    ],
)
def test_what_is_too_long_is_folded_before_a_model_is_asked(fields: dict[str, Any], first: str, then: str) -> None:
    state = _state(**fields, messages=LONG)

    assert (routing.after_execute(state), routing.after_compress_history(state)) == (first, then)


@pytest.mark.parametrize(("outcome", "to"), [(None, "execute"), ("cancelled", "finish")])
def test_each_decision_sets_its_branch_going(outcome: str | None, to: str) -> None:
    assert routing.after_approve(_state(outcome=outcome, calls=[ASK])) == to
