from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from graph.approvals import Approval
from graph.errors import InvalidDecision
from graph.state import Risk
from graph.tools import Assessment, Tools
from nodes import decisions


class OneTool:
    """A tool that takes a whole `quantity`; 13 of anything is critical."""

    async def assess(self, name: str, args: Mapping[str, Any]) -> Assessment:  # noqa: ARG002 - the Protocol's shape
        try:
            quantity = int(args["quantity"])
        except (KeyError, ValueError):
            return Assessment(args={}, risk="high", reason="", error="quantity must be a number")
        return Assessment(args={"quantity": quantity}, risk="critical" if quantity == 13 else "high", reason="unlucky")


TOOLS = cast("Tools", OneTool())


def _row(number: int = 1, risk: Risk = "high", status: str = "pending") -> Approval:
    return Approval(
        id=f"ap-{number}", thread_id="t", interrupt_id="i", call_id=f"c{number}", tool="place_order",
        args={"quantity": number}, risk=risk, reason="spends money", deadline=None, status=status, decided_by="ann",
    )  # fmt: skip


def test_the_request_has_both_spellings_of_the_arguments() -> None:
    request = decisions.request([_row(1), _row(2, "critical")])

    assert [action["args"] == action["arguments"] for action in request["action_requests"]] == [True, True]
    assert request["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject", "respond"]
    assert request["review_configs"][1]["allowed_decisions"] == ["respond", "reject"]


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        ({"decisions": [{"type": "approve"}, {"type": "reject", "message": "no"}]}, ["approve", "reject"]),
        ({"decisions": [{"type": "approve"}]}, ["approve"]),
        ([{"type": "accept", "args": {}}], ["approve"]),
        ([{"type": "ignore", "args": None}], ["reject"]),
        ([{"type": "response", "args": "use the old ones"}], ["respond"]),
        ({"type": "approve"}, ["approve"]),
        ({"decisions": [{"type": "approve"}] * 5}, ["approve", "approve"]),
        ("yes", []),
        (None, []),
        ({"decisions": "approve"}, []),
        ({"decisions": [None, {"type": "approve"}]}, ["approve"]),
        ({"decisions": [{"type": 7}]}, []),
    ],
)
def test_answers_of_both_shapes_are_paired_by_the_position_shown(answer: Any, kinds: list[str]) -> None:
    assert [decision["type"] for _, decision in decisions.match(answer, [_row(1), _row(2)]).decisions] == kinds


def test_a_gap_in_an_answer_leaves_that_call_undecided() -> None:
    answer = {"decisions": [None, {"type": "approve"}]}

    assert [row.id for row, _ in decisions.match(answer, [_row(1), _row(2)]).decisions] == ["ap-2"]


@pytest.mark.parametrize(
    "edit",
    [
        {"type": "edit", "edited_action": {"name": "place_order", "args": {"quantity": "3"}}},
        {"type": "edit", "args": {"action": "place_order", "args": {"quantity": "3"}}},
        {"type": "edit", "args": {"quantity": "3"}},
    ],
)
async def test_an_edit_is_validated_and_coerced(edit: dict[str, Any]) -> None:
    [(row, decision)] = decisions.match([edit], [_row()]).decisions

    assert await decisions.checked(row, decision, TOOLS) == {"type": "edit", "args": {"quantity": 3}}


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ({"type": "edit", "args": {"quantity": "many"}}, "quantity must be a number"),
        ({"type": "edit", "args": {"quantity": 13}}, "unlucky"),
        ({"type": "edit"}, "JSON object"),
        ({"type": "edit", "args": {"quantity": 1}, "tool": "delete_records"}, "not the tool"),
        ({"type": "done"}, "use one of approve, edit, reject, respond, cancel"),
        ({"type": "launch"}, "launch is no decision"),
    ],
)
async def test_a_decision_that_does_not_hold_is_refused(decision: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidDecision, match=said):
        await decisions.checked(_row(), decision, TOOLS)


@pytest.mark.parametrize("kind", ["approve", "edit"])
async def test_a_critical_call_can_not_be_let_run(kind: str) -> None:
    with pytest.raises(InvalidDecision, match="done, reject, respond, cancel"):
        await decisions.checked(_row(risk="critical"), {"type": kind, "args": {"quantity": 1}}, TOOLS)


async def test_a_response_to_a_critical_call_reports_it_done() -> None:
    checked = await decisions.checked(_row(risk="critical"), {"type": "respond", "message": "did it"}, TOOLS)

    assert checked == {"type": "done", "message": "did it"}


@pytest.mark.parametrize(
    ("status", "said", "as_error"),
    [
        ("rejected", "rejected this call: no reason given. Do not try it again", "error"),
        ("cancelled", "stopped the run", "error"),
        ("done", "did this themselves", "success"),
        ("responded", "", "success"),
    ],
)
def test_what_the_model_is_told(status: str, said: str, as_error: str) -> None:
    told = decisions.told(_row(status=status))

    assert said in str(told.content)
    assert told.status == as_error
    assert told.tool_call_id == "c1"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"decisions": [{"type": "approve"}, None]}, ""),
        ("yes", "an answer is"),
        ({}, "decision 1 has no type"),
        ([{"type": 7}], "decision 1 has no type"),
        ([{"type": "approve"}] * 3, "decision 3 is for a call that was not asked here"),
        ([{"type": "approve", "approval_id": "ap-9"}], "not asked here (ap-9)"),
        ([{"type": "approve", "approval_id": ["ap-1"]}], "not asked here"),
    ],
)
def test_an_answer_that_decides_nothing_is_told_why(answer: Any, problem: str) -> None:
    assert problem in decisions.match(answer, [_row(1), _row(2)]).problem


@pytest.mark.parametrize("said", ["a\0b", "\\\0", "half \ud800"])
async def test_what_postgres_can_not_store_is_no_decision(said: str) -> None:
    with pytest.raises(InvalidDecision, match="can't be stored"):
        await decisions.checked(_row(), {"type": "reject", "message": said}, TOOLS)


async def test_the_letters_of_an_escape_are_text() -> None:
    decision = {"type": "reject", "message": r"the file has \u0000 in it"}

    assert await decisions.checked(_row(), decision, TOOLS) == decision
