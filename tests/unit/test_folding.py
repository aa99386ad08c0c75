"""What a fold takes away, over random histories: what stays is always a history a provider accepts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage

from graph.state import State, reduce_messages
from nodes import folding, prompts
from nodes.folding import Fold
from nodes.notices import PREFIX
from nodes.room import Room, room_of
from services.cleaning import MAX_CHARS
from services.tokens import PromptCount

Step = tuple[str, int, int]
"""What happens: a person speaks, the agent answers, or it calls so many tools with results of so many words."""

steps = st.lists(
    st.one_of(
        st.tuples(st.just("person"), st.just(0), st.integers(1, 50)),
        st.tuples(st.just("answer"), st.just(0), st.integers(1, 400)),
        st.tuples(st.just("notice"), st.just(0), st.just(1)),
        st.tuples(st.just("calls"), st.integers(1, 4), st.integers(0, 1_500)),
        st.tuples(st.just("open"), st.integers(1, 3), st.integers(0, 50)),
    ),
    max_size=30,
)
rooms = st.builds(
    Room,
    window=st.integers(2_000, 20_000),
    whole=st.just(2_000),
    tokens=st.integers(300, 2_000),
    keep=st.integers(1, 6),
    by_count=st.booleans(),
)


def history(happened: list[Step]) -> list[AnyMessage]:
    """`open` is a step whose last call has no result yet; results may arrive in any order."""
    messages: list[AnyMessage] = [HumanMessage("go", id="h")]
    for at, (kind, count, size) in enumerate(happened):
        if kind == "person":
            messages.append(HumanMessage("x" * size, id=f"h{at}"))
        elif kind in ("answer", "notice"):
            messages.append(AIMessage("y" * size, id=f"{PREFIX if kind == 'notice' else 'a'}{at}"))
        else:
            calls = [{"name": "f", "args": {"at": at, "n": n}, "id": f"c{at}-{n}"} for n in range(count)]
            messages.append(AIMessage("", tool_calls=calls, id=f"a{at}"))
            done = calls[:-1] if kind == "open" else calls
            messages += [
                ToolMessage("z " * size, tool_call_id=call["id"], name="f", id=f"r-{call['id']}")
                for call in reversed(done)
            ]
    return messages


def state_of(messages: list[AnyMessage], **fields: Any) -> State:
    return {"messages": messages, **fields}  # type: ignore[typeddict-item]  # parts of a state


def after(messages: list[AnyMessage], fold: Fold) -> list[AnyMessage]:
    return reduce_messages(messages, [*map(RemoveMessage, fold.ids), *([fold.parted] if fold.parted else [])])


@given(steps, rooms)
def test_every_call_keeps_its_result_and_every_result_its_call(happened: list[Step], room: Room) -> None:
    messages = history(happened)

    left = after(messages, folding.foldable(state_of(messages), room))

    results = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    called = [str(call["id"]) for message in left if isinstance(message, AIMessage) for call in message.tool_calls]
    assert sorted(m.tool_call_id for m in left if isinstance(m, ToolMessage)) == sorted(set(called) & results)
    told = prompts.conversation(state_of(left))
    for at, message in enumerate(told):
        if isinstance(message, AIMessage):
            wanted = [call["id"] for call in message.tool_calls]
            assert [getattr(one, "tool_call_id", None) for one in told[at + 1 : at + 1 + len(wanted)]] == wanted


@given(steps, rooms)
def test_order_people_and_open_calls_stay(happened: list[Step], room: Room) -> None:
    messages = history(happened)

    folded = folding.foldable(state_of(messages), room)
    left = after(messages, folded)

    ids = [message.id for message in messages]
    assert [ids.index(message.id) for message in left] == sorted(ids.index(message.id) for message in left)
    assert not any(isinstance(message, HumanMessage) for message in folded.messages)
    open_calls = {f"a{at}" for at, (kind, _, _) in enumerate(happened) if kind == "open"}
    assert open_calls.isdisjoint(message.id for message in folded.messages)
    groups = [message for message in messages if isinstance(message, AIMessage) and message.tool_calls]
    complete = [group for group in groups if group.id not in open_calls]
    assert not complete or complete[-1].id in {message.id for message in left}  # of the newest step a part stays


@given(steps, rooms)
def test_what_stays_is_not_folded_again(happened: list[Step], room: Room) -> None:
    messages = history(happened)
    left = after(messages, folding.foldable(state_of(messages), room))

    assert not folding.foldable(state_of(left), room)


@given(steps, rooms)
def test_by_size_what_stays_fits_and_is_no_more_than_was_asked_for(happened: list[Step], room: Room) -> None:
    messages = history(happened)
    beyond = folding.excess(state_of(messages), room)
    left = after(messages, folding.foldable(state_of(messages), room))

    groups = list(folding._groups(left, folding._results(left)))
    if beyond and (len(left) < len(messages) or room.by_count):
        assert PromptCount().most([m for group in groups[:-1] for m in group.messages]) <= room.kept_tokens
        assert sum(len(group.results) for group in groups[1:]) < room.keep
        assert (
            not groups or len(groups[-1].results) == 1 or (PromptCount().most(groups[-1].messages) <= room.kept_tokens)
        )
    elif not beyond and not room.by_count:
        assert left == messages


@given(
    st.text(max_size=200),
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.text(max_size=50), st.integers(), st.none(), st.floats()), max_size=3
    ),
)
def test_the_quick_bound_is_never_below_the_estimate(text: str, args: dict[str, Any]) -> None:
    call: Any = {"name": "f", "args": args, "id": "c1"}
    for message in (
        AIMessage(text, tool_calls=[call]),
        AIMessage(text, invalid_tool_calls=[{**call, "args": text, "error": None}]),
        ToolMessage([{"type": "text", "text": text}], tool_call_id="c1"),
    ):
        assert PromptCount().most([message]) <= folding._at_most(message)


def _pairs(count: int, chars: int = 100, **usage: int) -> list[AnyMessage]:
    told: Any = {"usage_metadata": {**usage, "total_tokens": sum(usage.values())}} if usage else {}
    return [
        message
        for n in range(count)
        for message in (
            AIMessage("", id=f"a{n}", tool_calls=[{"name": "f", "args": {}, "id": str(n)}], **told),
            ToolMessage("z " * (chars // 2), tool_call_id=str(n), name="f", id=f"r{n}"),
        )
    ]


@pytest.mark.parametrize(
    ("settings", "chars", "usage", "gone"),
    [
        ({}, 100, {}, 0),
        ({"keep_tool_results": 2}, 100, {}, 6),
        ({"window_tokens": 4_096}, 100, {}, 0),
        ({"window_tokens": 4_096}, 1_000, {}, 7),
        ({"window_tokens": 4_096, "keep_tool_results": 7}, 1_000, {}, 7),
        ({"window_tokens": 4_096, "fold_share": 0.95}, 350, {}, 0),
        ({"window_tokens": 4_096, "fold_share": 0.3}, 350, {}, 6),
        ({"window_tokens": 4_096}, 100, {"input_tokens": 1_800, "output_tokens": 5}, 3),
        ({"window_tokens": 4_096}, 100, {"input_tokens": 10**12, "output_tokens": 5}, 0),
    ],
    ids=["short", "count", "fits", "size", "size before count", "much", "little", "told by provider", "told nonsense"],
)
def test_when_a_history_is_folded(settings: dict[str, Any], chars: int, usage: dict[str, int], gone: int) -> None:
    settings = {"fold_share": 0.5, **settings}
    state = state_of(_pairs(8, chars, **usage), settings=settings)

    folded = [
        message for message in folding.foldable(state, room_of(settings)).messages if isinstance(message, AIMessage)
    ]

    assert len(folded) == gone
    assert folding.due(state, {}) == bool(gone)


def test_of_a_step_that_is_too_much_alone_the_last_results_stay_with_their_calls() -> None:
    asked = [{"name": "f", "args": {"n": n}, "id": f"c{n}"} for n in range(9)]
    reply = AIMessage(
        [{"type": "text", "text": "All of them."}, *({"type": "function_call", "call_id": one["id"]} for one in asked)],
        id="a",
        tool_calls=asked,
        additional_kwargs={"tool_calls": [{"id": one["id"]} for one in asked]},
    )
    results = [ToolMessage(f"{n} " * 100, tool_call_id=f"c{n}", name="f", id=f"r{n}") for n in range(9)]
    settings = {"window_tokens": 4_096}
    state = state_of([HumanMessage("go", id="h"), reply, *results], settings=settings)

    fold = folding.foldable(state, room_of(settings))
    left = after(state["messages"], fold)

    told, *gone = fold.messages
    stays = len(left) - 2
    assert 1 <= stays < 9
    assert [message.id for message in left] == ["h", "a", *(f"r{n}" for n in range(9 - stays, 9))]
    assert isinstance(told, AIMessage)
    assert isinstance(left[1], AIMessage)
    assert [call["id"] for call in told.tool_calls] == [f"c{n}" for n in range(9 - stays)]
    assert [call["id"] for call in left[1].tool_calls] == [f"c{n}" for n in range(9 - stays, 9)]
    assert gone == results[: 9 - stays]
    assert (left[1].content, left[1].additional_kwargs, told.text) == ("All of them.", {}, "")  # no provider's own form
    assert not folding.foldable(state_of(left, settings=settings), room_of(settings))


@pytest.mark.parametrize(("steps_behind", "folds"), [(3, False), (12, True)])
def test_what_can_not_be_made_to_fit_is_folded_once_it_frees_much(steps_behind: int, *, folds: bool) -> None:
    settings = {"window_tokens": 8_192}
    request = HumanMessage("please read " * 800, id="h")
    state = state_of([request, *_pairs(steps_behind, 300)], settings=settings)

    assert folding.excess(state, room_of(settings)) > 0
    assert bool(folding.foldable(state, room_of(settings))) == folds


def test_what_the_model_could_not_read_is_folded_even_where_it_frees_little() -> None:
    settings = {"window_tokens": 8_192, "fold_share": 0.95}
    state = state_of([HumanMessage("word " * 3_000, id="h"), *_pairs(9, 800)], settings=settings)
    room = room_of(settings)

    assert room.whole + folding.excess(state, room) > 8_192
    assert folding.foldable(state, room)


def test_answers_of_earlier_turns_go_too_when_there_is_no_room() -> None:
    turns = [
        message
        for n in range(12)
        for message in (HumanMessage("and?", id=f"h{n}"), AIMessage(f"{n} " * 400, id=f"a{n}"))
    ]
    state = state_of([*turns, HumanMessage("now?", id="last")], settings={"window_tokens": 4_096})

    folded = folding.foldable(state, room_of(state["settings"]))

    assert [message.id for message in folded.messages] == [f"a{n}" for n in range(11)]
    assert not folding.foldable(state, room_of({}))


def test_a_result_is_too_long_for_a_small_window_or_for_any() -> None:
    small, large = room_of({"window_tokens": 4_096}), room_of({"window_tokens": 1_000_000})
    messages = _pairs(1, 5_000)

    assert [(message.id, most) for message, most in folding.oversized(messages, small)] == [
        ("r0", small.result_tokens(1))
    ]
    assert folding.oversized(messages, large) == []
    assert len(folding.oversized(_pairs(1, 2 * MAX_CHARS), large)) == 1


def test_what_was_cut_or_is_bounded_anyway_is_not_cut_again() -> None:
    room = room_of({"window_tokens": 4_096})
    call = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])
    long: Any = {"content": "x" * 50_000, "tool_call_id": "1"}

    assert folding.oversized([call, ToolMessage(**long, name="f", artifact={folding.CUT: None})], room) == []
    assert folding.oversized([call, ToolMessage(**long, name="open_result")], room) == []
    assert len(folding.oversized([call, ToolMessage(**long, name="f", artifact={"other": 1})], room)) == 1
    assert folding.oversized([HumanMessage("x" * 50_000)], room) == []


def test_results_that_came_together_share_the_room() -> None:
    room = room_of({})
    assert room.result_tokens(50) * 50 <= room.kept_tokens
    assert room.result_tokens(1) <= room.kept_tokens
