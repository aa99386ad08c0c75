from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call

from graph.context import LocalContext
from graph.state import Usage, no_usage
from nodes import faults, prompts
from nodes.asking import next_member
from nodes.call_ids import with_fresh_call_ids

STOP = {"finish_reason": "stop"}
CALL = {"name": "look", "args": {"at": 1}, "id": "a"}


def _reply(text: str = "", *, ended: str = "stop", refusal: Any = None, **more: Any) -> AIMessage:
    kwargs = {"refusal": refusal} if refusal else {}
    return AIMessage(text, response_metadata={"finish_reason": ended}, additional_kwargs=kwargs, **more)


BROKEN = [invalid_tool_call(name="look", args="{at", id="a", error="line 1: no end")]


@pytest.mark.parametrize(
    ("reply", "kind", "told"),
    [
        (
            _reply("x", invalid_tool_calls=BROKEN),
            "broken_json",
            "arguments of look are not valid JSON (line 1: no end)",
        ),
        (_reply("", invalid_tool_calls=BROKEN, tool_calls=[CALL]), "broken_json", "arguments of look"),
        (_reply("half an ans", ended="length"), "truncated_reply", "it was cut off at the length limit"),
        (_reply("", ended="length", tool_calls=[CALL]), "truncated_reply", "cut off"),
        (_reply("", refusal="I can't help with that"), "refusal", "it was a refusal: I can't help with that"),
        (_reply("Sorry.", refusal=True), "refusal", "it was a refusal"),
        (_reply("some of it", ended="content_filter"), "refusal", "it was a refusal"),
        (_reply(""), "empty_reply", "it was empty"),
        (_reply(" \n\t "), "empty_reply", "it was empty"),
        (AIMessage([], response_metadata=STOP), "empty_reply", "it was empty"),
        (AIMessage([{"type": "reasoning", "reasoning": "hm"}], response_metadata=STOP), "empty_reply", "it was empty"),
    ],
)
def test_a_reply_nobody_can_use_has_one_kind_and_is_told_why(reply: AIMessage, kind: str, told: str) -> None:
    fault = faults.of_reply(reply)

    assert fault is not None
    assert fault.kind == kind
    assert told in fault.told


@pytest.mark.parametrize("reply", [_reply("done"), _reply("", tool_calls=[CALL]), _reply("0"), AIMessage("done")])
def test_a_reply_with_words_or_calls_has_no_fault(reply: AIMessage) -> None:
    assert faults.of_reply(reply) is None


def test_counting_never_changes_the_usage_it_was_copied_from() -> None:
    known = no_usage()
    copied = known.copy()

    faults.count(copied, "refusal")
    faults.count(copied, "refusal", 2)
    faults.count(copied, "model_error", 0)

    assert copied["faults"] == {"refusal": 3}
    assert known["faults"] == {}


@pytest.mark.parametrize(
    ("members", "strikes", "repeats", "asked"),
    [
        (1, 0, 0, 0),
        (1, 1, 0, 0),
        (1, 2, 0, None),
        (2, 1, 0, 0),
        (2, 2, 0, 1),
        (2, 3, 0, 1),
        (2, 4, 0, None),
        (1, 0, 6, 0),
        (2, 0, 5, 0),
        (2, 0, 6, 1),
        (2, 0, 9, 1),
        (3, 0, 6, 1),
        (2, 4, 6, None),
        (3, 4, 6, 2),
    ],
)
def test_each_member_has_two_tries_and_a_loop_moves_on_once(
    members: int, strikes: int, repeats: int, asked: int | None
) -> None:
    usage: Usage = {**no_usage(), "strikes": strikes, "repeats": repeats}

    assert next_member(usage, LocalContext(model=",".join(["offline"] * members))) == asked


def _turn(number: int, result: str, args: dict[str, Any]) -> tuple[AIMessage, ToolMessage]:
    call_id = f"c{number}"
    calling = AIMessage("", tool_calls=[{"name": "look", "args": args, "id": call_id}])
    return calling, ToolMessage(result, tool_call_id=call_id, name="look")


def _repeats_of(turns: list[tuple[str, dict[str, Any]]]) -> list[int]:
    usage, history, counted = no_usage(), list[BaseMessage]([HumanMessage("go")]), list[int]()
    for number, (result, args) in enumerate(turns):
        calling, answer = _turn(number, result, args)
        faults.note_repetition(usage, calling, history)
        history += [calling, answer]
        counted.append(usage["repeats"])
    return counted


SAME: tuple[str, dict[str, Any]] = ("r", {"at": 1, "of": 2})


def test_the_same_call_upon_the_same_result_is_counted_whatever_its_id_and_order_of_arguments() -> None:
    swapped: tuple[str, dict[str, Any]] = ("r", {"of": 2, "at": 1})

    assert _repeats_of([SAME, SAME, swapped, SAME]) == [1, 1, 2, 3]


@pytest.mark.parametrize(
    "turns", [[("r1", {}), ("r2", {}), ("r3", {}), ("r4", {})], [("r", {"at": n}) for n in range(4)]]
)
def test_other_results_or_other_arguments_are_no_repetition(turns: list[tuple[str, dict[str, Any]]]) -> None:
    assert _repeats_of(turns) == [1, 1, 1, 1]


def test_words_end_a_repetition() -> None:
    usage = no_usage()
    calling, answer = _turn(0, "r", {})
    history: list[BaseMessage] = [calling, answer]
    for message in (calling, calling, AIMessage("well"), calling):
        faults.note_repetition(usage, message, history)

    assert usage["repeats"] == 1


def test_results_and_arguments_that_are_no_text_or_json_do_no_harm() -> None:
    usage = no_usage()
    calling = AIMessage("", tool_calls=[{"name": "look", "args": {"at": {1, 2}, "say": "\ud800"}, "id": "a"}])
    for _ in range(3):
        faults.note_repetition(usage, calling, [ToolMessage("\ud800", tool_call_id="x")])

    assert usage["repeats"] == 3
    assert usage["faults"] == {"repeated_calls": 1}


@given(st.lists(st.sampled_from(["", "a", "b", "call"]), max_size=6))
def test_every_call_ends_with_an_id_of_its_own(ids: list[str]) -> None:
    old = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "a"}])
    message = AIMessage("", id="m", tool_calls=[{"name": "look", "args": {}, "id": one} for one in ids])

    fresh = with_fresh_call_ids(message, [old], usage := no_usage())

    made = [call["id"] for call in fresh.tool_calls]
    assert len(set(made)) == len(ids)
    assert "a" not in made
    assert "" not in made
    kept = sum(new == given for new, given in zip(made, ids, strict=True))
    assert usage["faults"].get("repeated_call_id", 0) == len(ids) - kept


@pytest.mark.parametrize(
    ("iterations", "told"),
    [(1, None), (7, None), (8, "included: 3"), (9, "included: 2"), (10, "this is the last reply")],
)
def test_the_model_is_told_when_few_replies_remain(iterations: int, told: str | None) -> None:
    """`iterations` counts the reply that is asked for now."""
    said = prompts.notes({**no_usage(), "iterations": iterations}, LocalContext(max_iterations=10))

    assert [told is not None and told in str(note.text) for note in said] == ([] if told is None else [True])


@pytest.mark.parametrize(("repeats", "told"), [(2, False), (3, True), (9, True)])
def test_the_model_is_told_that_it_repeats_itself(repeats: int, *, told: bool) -> None:
    said = prompts.notes({**no_usage(), "repeats": repeats}, LocalContext())

    assert [f"same call {repeats} times" in str(note.text) for note in said] == ([True] if told else [])
