from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evals.chaos.picture import Picture, compare, surfaced

NOTICE = {"key": "k1", "tool": "post_notice", "args": {"text": "hi"}, "state": "done"}
CALL = {"type": "ai", "text": "", "calls": [{"id": "c1", "name": "post_notice", "args": {"text": "hi"}}]}
CALL |= {"call_id": "", "status": ""}
RESULT = {"type": "tool", "text": "posted: hi", "calls": [], "call_id": "c1", "status": "success"}
ORDERED = {"tool": "place_order", "args": {"item": "lamp"}, "status": "approved", "effect_key": None}
USAGE = {"iterations": 2, "tool_calls": 1, "model_calls": 2, "prompt_tokens": 10, "completion_tokens": 5}

WHOLE = Picture(
    outcome="completed",
    answer="All done.",
    messages=[CALL, RESULT],
    approvals=[ORDERED],
    usage=USAGE,
    effects=[NOTICE],
    world=[["post_notice", "hi"]],
)


def _kinds(ended: Picture, doubts: dict[str, str] | None = None, asked: int = 1) -> list[str]:
    return [problem.kind for problem in compare(ended, WHOLE, doubts or {}, asked)]


def test_a_run_that_ended_as_undisturbed_has_no_problem() -> None:
    assert _kinds(WHOLE) == []


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"world": [["post_notice", "hi"], ["post_notice", "hi"]]}, ["duplicated"]),
        ({"world": []}, ["missing"]),
        ({"effects": [{**NOTICE, "state": "unknown"}]}, ["lost"]),
        ({"effects": []}, ["lost"]),
        ({"outcome": "model_failed"}, ["lost"]),
        ({"answer": "Done?"}, ["lost"]),
        ({"messages": [CALL, {**RESULT, "text": "other"}]}, ["lost"]),
        ({"messages": [CALL]}, ["lost"]),
        ({"approvals": [{**ORDERED, "status": "cancelled"}]}, ["lost"]),
        ({"usage": {**USAGE, "iterations": 3}}, ["lost"]),
        ({"usage": {**USAGE, "tool_calls": 2}}, ["lost"]),
        ({"usage": {**USAGE, "prompt_tokens": 9}}, ["lost"]),
        ({"usage": {**USAGE, "prompt_tokens": 11}}, ["lost"]),
        ({"usage": {**USAGE, "model_calls": 4, "prompt_tokens": 30}}, ["lost"]),
    ],
)
def test_whatever_differs_is_told(change: dict[str, Any], kinds: list[str]) -> None:
    assert _kinds(replace(WHOLE, **change)) == kinds


def test_a_killed_model_call_may_cost_more() -> None:
    assert _kinds(replace(WHOLE, usage={**USAGE, "model_calls": 3, "prompt_tokens": 30})) == []


def test_a_stored_model_call_is_not_made_again() -> None:
    assert _kinds(replace(WHOLE, usage={**USAGE, "model_calls": 3, "prompt_tokens": 30}), asked=0) == ["lost"]


def test_order_numbers_and_keys_may_differ() -> None:
    one, other = ({**RESULT, "text": f"order ORD-{number:06} {key * 64}"} for number, key in ((7, "a"), (12, "b")))

    assert compare(replace(WHOLE, messages=[one]), replace(WHOLE, messages=[other]), {}, 1) == []


def test_results_are_compared_behind_their_calls() -> None:
    second = {"id": "c2", "name": "list_mail", "args": {}}
    both = {**CALL, "calls": [*CALL["calls"], second]}
    listed = {**RESULT, "call_id": "c2", "text": "no mail"}

    one, other = replace(WHOLE, messages=[both, RESULT, listed]), replace(WHOLE, messages=[both, listed, RESULT])

    assert compare(one, other, {}, 1) == []


READ = {"id": "t1", "tool": "list_mail", "stands": "done", "text": "no mail"}
POSTED = {"id": "t2", "tool": "post_notice", "stands": "done", "text": "posted: hi"}
PLANNED = replace(WHOLE, tasks=[READ, POSTED])


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({}, []),
        ({"tasks": [POSTED, READ]}, []),
        ({"messages": [{**CALL, "calls": []}, {**CALL, "text": "", "calls": CALL["calls"]}, RESULT]}, ["lost"]),
        ({"messages": []}, []),  # folded away
        ({"messages": [CALL]}, ["lost"]),
        ({"messages": [RESULT]}, ["lost"]),
        ({"tasks": [{**READ, "text": "two mails"}, POSTED]}, ["lost"]),
        ({"tasks": [{**READ, "stands": "open"}, POSTED]}, ["lost"]),
        ({"tasks": [READ]}, ["lost"]),
    ],
)
def test_of_a_plan_each_task_must_stand_as_it_did_whenever_it_ran(change: dict[str, Any], kinds: list[str]) -> None:
    assert [problem.kind for problem in compare(replace(PLANNED, **change), PLANNED, {}, 1)] == kinds


@pytest.mark.parametrize(("stands", "kinds"), [("done", []), ("failed", ["lost"])])
def test_a_task_that_was_in_doubt_may_be_told_in_other_words(stands: str, kinds: list[str]) -> None:
    asked = {"tool": "post_notice", "args": {"text": "hi"}, "status": "done", "effect_key": "k1"}
    told = {**POSTED, "stands": stands, "text": "This happened, as a person found."}
    ended = replace(PLANNED, approvals=[ORDERED, asked], tasks=[READ, told])

    assert [problem.kind for problem in compare(ended, PLANNED, {"k1": "post_notice"}, 1)] == kinds


def test_an_effect_in_doubt_must_reach_a_person() -> None:
    assert _kinds(WHOLE, {"k1": "post_notice"}) == ["in doubt"]


@pytest.mark.parametrize(("status", "text"), [("done", "This happened, as a person found."), ("retried", "posted: hi")])
def test_one_that_a_person_settled_is_no_problem(status: str, text: str) -> None:
    asked = {"tool": "post_notice", "args": {"text": "hi"}, "status": status, "effect_key": "k1"}
    ended = replace(WHOLE, approvals=[ORDERED, asked], messages=[CALL, {**RESULT, "text": text}])

    assert _kinds(ended, {"k1": "post_notice"}) == []


def test_one_that_a_person_settled_as_done_is_not_told_as_failed() -> None:
    asked = {"tool": "post_notice", "args": {"text": "hi"}, "status": "done", "effect_key": "k1"}
    ended = replace(WHOLE, approvals=[ORDERED, asked], messages=[CALL, {**RESULT, "status": "error"}])

    assert _kinds(ended, {"k1": "post_notice"}) == ["lost"]


@pytest.mark.parametrize(("state", "found"), [("done", {"k2"}), ("unknown", set())])
def test_a_mail_may_be_settled_by_its_tool(state: str, found: set[str]) -> None:
    mail = {"key": "k2", "tool": "send_email", "args": {}, "state": state}

    assert surfaced(replace(WHOLE, effects=[mail]), {"k2": "send_email"}) == found
