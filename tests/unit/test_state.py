from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from graph.state import keep_settings, reduce_messages

_ids = st.sampled_from(["a", "b", "c", "d"])
_updates = st.one_of(
    st.builds(lambda i, text: HumanMessage(text, id=i), _ids, st.text(max_size=3)),
    st.builds(lambda i: RemoveMessage(id=i), st.one_of(_ids, st.just(REMOVE_ALL_MESSAGES))),
    st.builds(lambda text: {"role": "user", "content": text}, st.text(max_size=2)),
    st.builds(lambda i: [AIMessage("x", id=i), ("user", "y")], _ids),
)


def _shape(messages: list[Any]) -> list[tuple[str, str, str | None]]:
    return [(m.type, str(m.content), m.id) for m in messages]


@given(st.lists(_updates, max_size=8), st.integers(0, 8))
def test_replaying_updates_in_other_batches_gives_the_same_history(updates: list[Any], cut: int) -> None:
    at_once = reduce_messages([], updates)
    in_two = reduce_messages(reduce_messages([], updates[:cut]), updates[cut:])

    assert _shape(at_once) == _shape(in_two)


def test_a_known_id_is_replaced_where_it_stands() -> None:
    history = reduce_messages([], [[HumanMessage("one", id="a"), HumanMessage("two", id="b")]])

    assert _shape(reduce_messages(history, [HumanMessage("new", id="a")]))[0] == ("human", "new", "a")


def test_removing_an_unknown_id_changes_nothing() -> None:
    history = reduce_messages([], [HumanMessage("one", id="a")])

    assert reduce_messages(history, [RemoveMessage(id="nobody")]) == history


def test_messages_without_an_id_get_one_that_does_not_change() -> None:
    first = reduce_messages([], [{"role": "user", "content": [{"type": "text", "text": "hi"}]}])
    again = reduce_messages([], [{"role": "user", "content": [{"type": "text", "text": "hi"}]}])

    assert first[0].id == again[0].id is not None


def test_a_thread_keeps_its_settings_and_later_runs_change_only_what_they_set() -> None:
    kept = keep_settings(None, {"defaults": {"model": "offline", "max_usd": 1.0}, "explicit": {"max_usd": 2.0}})
    later = keep_settings(kept, {"defaults": {"model": "openai:x", "max_usd": 9.0}, "explicit": {}})

    assert kept == later == {"model": "offline", "max_usd": 2.0}
