"""No two calls of a history have one id, whatever their model calls them."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call

from graph.state import no_usage
from nodes.call_ids import with_fresh_call_ids


def test_a_model_that_repeats_its_ids_and_gives_replies_none_still_makes_distinct_calls() -> None:
    history: list[AIMessage] = []
    for _ in range(5):
        reply = AIMessage("", tool_calls=[tool_call(name="read", args={}, id="c0")])
        history.append(with_fresh_call_ids(reply, history, no_usage()))

    ids = [call["id"] for reply in history for call in reply.tool_calls]

    assert len(set(ids)) == 5
