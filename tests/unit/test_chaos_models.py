from __future__ import annotations

from typing import Any, get_args

import pytest

from evals.chaos import answers, model_runs
from evals.chaos.picture import Picture
from evals.chaos.provider import Bill
from graph.state import Outcome

TURNS: list[dict[str, Any]] = [
    {"tool_calls": [{"name": "list_mail", "args": {}}, {"name": "list_mail", "args": {}}]},
    {"content": "end"},
]
TOOLS: dict[str, Any] = {"model": "chaos-a", "tools": [{}]}
ASKED = {"role": "user", "content": "go"}
CALLED = {"role": "assistant", "tool_calls": [{"id": "call_0_1-again"}]}

ENDED = Picture(
    outcome="completed",
    answer="All done.",
    messages=[],
    approvals=[],
    usage={"iterations": 2, "tool_calls": 1, "prompt_tokens": 90, "completion_tokens": 10, "cost_usd": 0.01},
    effects=[{"key": "k", "tool": "place_order", "args": {}, "state": "done"}],
    world=[["place_order", "lamp"]],
)
BOUNDS = {"max_iterations": 2, "max_tool_calls": 1, "max_tokens": 100, "max_usd": 0.01}


def test_every_third_call_is_spoiled_and_every_way_comes() -> None:
    kinds = [[answers.fault(1, run, call) for call in range(9)] for run in range(200)]

    assert all(sum(kind is not None for kind in run) == 3 for run in kinds)
    assert {kind for run in kinds for kind in run if kind} == set(answers.FAULTS)
    assert kinds == [[answers.fault(1, run, call) for call in range(9)] for run in range(200)]


def test_the_conversation_alone_tells_how_far_it_is() -> None:
    first = answers.right({**TOOLS, "messages": [ASKED]}, TURNS)
    last = answers.right({**TOOLS, "messages": [ASKED, CALLED]}, TURNS)
    folded = answers.right({"messages": [ASKED]}, TURNS)

    assert [call["id"] for call in first.calls] == ["call_0_0", "call_0_1"]
    assert (last.content, last.calls) == ("All done.", ())
    assert folded.content
    assert "Folded" in folded.content


def test_a_planner_is_answered_with_a_plan_and_its_sub_tasks_with_the_script() -> None:
    planner = [{"tool_calls": [{"name": "plan", "args": {"tasks": []}}]}]
    asked = {**TOOLS, "messages": [ASKED], "tools": [{"function": {"name": "plan"}}]}

    assert [call["function"]["name"] for call in answers.right(asked, TURNS, planner).calls] == ["plan"]
    assert len(answers.right({**TOOLS, "messages": [ASKED]}, TURNS, planner).calls) == 2


@pytest.mark.parametrize("kind", answers.SPOILED)
def test_a_spoiled_reply_is_another_one(kind: str) -> None:
    reply = answers.right({**TOOLS, "messages": [ASKED]}, TURNS)

    assert answers.spoiled(kind, reply) != reply


@pytest.mark.parametrize("most", [5, 40])
def test_no_reply_is_longer_than_was_asked_for(most: int) -> None:
    request = {**TOOLS, "messages": [ASKED], "max_completion_tokens": most}
    reply = answers.bounded(request, answers.right(request, TURNS))

    assert reply.tokens <= most
    assert reply.finish_reason == "length"


def test_a_stream_says_what_the_whole_reply_says() -> None:
    request = {**TOOLS, "messages": [ASKED], "stream_options": {"include_usage": True}}
    reply = answers.right(request, TURNS)
    chunks = answers.pieces(request, reply)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    texts = [call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", ())]

    assert "".join(texts) == "{}{}"
    assert chunks[-1]["usage"] == answers.whole(request, reply)["usage"]


def _kinds(ended: Picture = ENDED, bill: Bill | None = None, **bounds: Any) -> list[str]:
    told = bill or Bill(tokens=100, told_tokens=100, usd=0.01)
    return [problem.kind for problem in model_runs.judge(ended, told, {**BOUNDS, **bounds})]


def test_a_run_within_its_limits_is_fine() -> None:
    assert _kinds() == []


@pytest.mark.parametrize(
    "bounds", [{"max_iterations": 1}, {"max_tool_calls": 0}, {"max_tokens": 99}, {"max_usd": 0.00999}]
)
def test_one_more_than_the_limit_is_told(bounds: dict[str, Any]) -> None:
    assert _kinds(**bounds) == ["over limit"]


@pytest.mark.parametrize(
    "bill", [Bill(tokens=101, told_tokens=100), Bill(usd=0.011), Bill(tokens=100, told_tokens=101)]
)
def test_what_the_provider_bills_counts_too(bill: Bill) -> None:
    assert _kinds(bill=bill) == ["over limit"]


def test_an_end_without_an_outcome_or_an_answer_is_told() -> None:
    nothing = Picture(**{**vars(ENDED), "outcome": None, "answer": " "})

    assert _kinds(nothing) == ["lost", "lost"]


@pytest.mark.parametrize(("world", "kind"), [([], "missing"), ([["place_order"]] * 2, "duplicated")])
def test_the_world_must_agree_with_the_ledger(world: list[list[str]], kind: str) -> None:
    assert _kinds(Picture(**{**vars(ENDED), "world": world})) == [kind]


def test_every_outcome_is_typed() -> None:
    assert all(_kinds(Picture(**{**vars(ENDED), "outcome": outcome})) == [] for outcome in get_args(Outcome))


def test_every_second_run_has_one_tight_limit() -> None:
    wide = model_runs.limits(1, 0)
    tight = [model_runs.limits(1, number) for number in range(1, 41, 2)]

    assert all(len(wide.items() - one.items()) == 1 for one in tight)
    assert {name for one in tight for name, _ in wide.items() - one.items()} == set(wide)
