from __future__ import annotations

import io
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables.config import var_child_runnable_config
from rich.console import Console

from app.progress import Progress
from app.timeline import _entries
from services.unstreamed import unstreamed

DENIED = {"tool": "request", "call_id": "", "rule": "guard detector", "excerpt": "looks like it"}
SEEN = {"tool": "read_inbox", "call_id": "c", "rule": "override", "excerpt": "ignore all"}


def lines(node: str, change: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    Progress(Console(file=out, width=200))(node, change)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_progress_tells_what_a_guard_did_in_any_node() -> None:
    blocked = {"messages": [HumanMessage("(withheld)")], "reason": "not let through", "findings": [DENIED]}
    refused = {"messages": [ToolMessage("not run", name="note", tool_call_id="c")], "findings": []}

    assert lines("reason", blocked) == ["reason not let through", "reason request: guard detector: looks like it"]
    assert lines("reason", refused) == ["reason refused note: not run"]
    assert lines("sanitize", {"messages": [AIMessage("")], "findings": [SEEN, DENIED]}) == [
        "sanitize 1 results from outside, as data",
        "sanitize read_inbox: looks like an instruction (override): 'ignore all'",
        "sanitize request: guard detector: looks like it",
    ]


@pytest.mark.parametrize(
    ("finding", "title"),
    [(DENIED, "request: guard detector"), (SEEN, "read_inbox: looks like an instruction")],
)
def test_the_page_of_a_run_shows_who_saw_what(finding: dict[str, str], title: str) -> None:
    (entry,) = _entries("findings", [finding])

    assert (entry.kind, entry.title, entry.text) == ("warning", title, finding["excerpt"])


def test_in_no_graph_nothing_is_kept_from_anybody() -> None:
    with unstreamed():
        assert var_child_runnable_config.get() is None
