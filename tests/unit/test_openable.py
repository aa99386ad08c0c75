from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from graph.facts import KEPT, Fact, add_facts
from nodes.folding import CUT
from nodes.openable import WHOLE, handle_of, openable
from nodes.remembered import RESULTS_TOLD, remembered
from tools.attempt import LONGER


def result(artifact: Any, text: str = "x") -> ToolMessage:
    return ToolMessage(text, tool_call_id="c", artifact=artifact)


def folded(handle: str) -> Fact:
    return Fact(kind="result", text=handle, source="read_mail", about='{"id": "003-overdue-invoice"}', outside=True)


@pytest.mark.parametrize(
    ("artifact", "handle"),
    [
        ({CUT: "r-1"}, "r-1"),
        ({WHOLE: "r-2"}, "r-2"),
        ({WHOLE: "r-1", CUT: "r-1"}, "r-1"),
        ({CUT: None}, None),
        ({"in_doubt": {}}, None),
        (None, None),
        ("r-1", None),
        ({CUT: ["r-1"]}, None),
    ],
)
def test_only_the_artifact_says_what_a_result_is_a_part_of(artifact: Any, handle: str | None) -> None:
    assert handle_of(result(artifact, LONGER.format(more=1, handle="r-0123456789ab"))) == handle


def test_what_may_be_opened_is_what_was_folded_and_what_was_cut_each_once_the_newest_last() -> None:
    facts = [folded("r-1"), folded("r-2"), folded("r-3"), {**folded("r-9"), "kind": "value"}]
    messages = [HumanMessage("r-8"), result({CUT: "r-1"}), result(None), result({WHOLE: "r-4"})]

    assert openable({"messages": messages, "facts": facts}) == ("r-2", "r-3", "r-1", "r-4")  # type: ignore[typeddict-item]
    assert openable({"messages": []}) == ()


def test_two_thousand_results_stay_open_and_the_prompt_names_the_newest() -> None:
    handles = [f"r-{n:012x}" for n in range(KEPT["result"])]
    facts = add_facts(None, [[folded(handle) for handle in handles]])
    state: Any = {"messages": [], "facts": facts, "settings": {"window_tokens": 1_000_000}}

    told = str(remembered(state)[0].text)

    assert openable(state) == tuple(handles)
    assert [handle for handle in handles if handle in told] == handles[-RESULTS_TOLD:]
