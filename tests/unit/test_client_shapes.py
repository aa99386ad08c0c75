"""Every answer the public chat pages can send: as built by agent-chat-ui fdc87e6 and agent-inbox f38301b."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from graph.approvals import Approval
from graph.errors import InvalidDecision
from graph.state import Risk
from graph.tools import Assessment
from nodes import decisions
from tools.base import tool
from tools.registry import ToolBox


@tool(risk="high", untrusted_output=False, idempotent=False, reason="moves goods")
async def ship(
    item: str, quantity: Annotated[int, Field(ge=1)], price: float, to: list[str], note: str | None = None
) -> str:
    """Ship something.

    Args:
        item: What.
        quantity: How many.
        price: Of one.
        to: Addresses.
        note: For the driver.
    """
    return f"{quantity} x {item} at {price} to {to} ({note})"


class Office:
    """The tool above, asked as the nodes ask."""

    box = ToolBox([ship])

    async def assess(self, name: str, args: Any) -> Assessment:
        return await self.box.assess(name, args)


ARGS: dict[str, Any] = {"item": "lamp", "quantity": 2, "price": 38.0, "to": ["Bern"], "note": None}
BROWSER_ARGS = {**ARGS, "price": 38}
"""The same after JavaScript has read and written it."""


def _row(
    number: int = 1, *, tool: str = "ship", risk: Risk = "high", args: Any = None, doubt: bool = False
) -> Approval:
    return Approval(
        id=f"ap-{number}", thread_id="t", interrupt_id="i", call_id=f"c{number}", tool=tool, args=args or ARGS,
        risk=risk, reason="moves goods", deadline=None, status="pending", effect_key="k" if doubt else None,
    )  # fmt: skip


def _chat(*given: dict[str, Any]) -> dict[str, Any]:
    return {"decisions": list(given)}


def _chat_edit(**changed: Any) -> dict[str, Any]:
    return {"type": "edit", "edited_action": {"name": "ship", "args": {**BROWSER_ARGS, **changed}}}


def _inbox(kind: str, **changed: Any) -> list[dict[str, Any]]:
    return [{"type": kind, "args": {"action": "ship", "args": {**BROWSER_ARGS, **changed}}}]


async def _recorded(answer: Any, *rows: Approval) -> list[dict[str, Any]]:
    taken = decisions.match(answer, rows or [_row()])
    assert not taken.problem
    return [await decisions.checked(row, decision, Office()) for row, decision in taken.decisions]  # type: ignore[arg-type]


APPROVED = {"type": "approve"}
REJECTED = {"type": "reject", "message": "too dear"}
EDITED = {"type": "edit", "args": {**ARGS, "quantity": 3}}

ONE_CALL = {
    "chat: Approve": (_chat(APPROVED), APPROVED),
    "chat: Submit rejection": (_chat(REJECTED), REJECTED),
    "chat: a number edited, sent as text": (_chat(_chat_edit(quantity="3")), EDITED),
    "chat: Reset, then edited: every field is text": (
        _chat(_chat_edit(quantity="3", price="38", to='["Bern"]', note="null")),
        EDITED,
    ),
    "chat: a list edited, sent as JSON": (
        _chat(_chat_edit(to='["Bern", "Basel"]')),
        {"type": "edit", "args": {**ARGS, "to": ["Bern", "Basel"]}},
    ),
    "chat: an empty field filled": (
        _chat(_chat_edit(note="ring twice")),
        {"type": "edit", "args": {**ARGS, "note": "ring twice"}},
    ),
    "chat: an empty field filled with digits stays text": (
        _chat(_chat_edit(note="12")),
        {"type": "edit", "args": {**ARGS, "note": "12"}},
    ),
    "inbox: Accept": (_inbox("accept"), APPROVED),
    "inbox: Accept where editing is not offered": ([{"type": "accept", "args": None}], APPROVED),
    "inbox: Accept of a version that reads no arguments": ([{"type": "accept", "args": {}}], APPROVED),
    "inbox: Submit of an edit": (_inbox("edit", quantity="3"), EDITED),
    "inbox: Reset, then edited": (_inbox("edit", quantity="3", price="38", to='["Bern"]', note="null"), EDITED),
    "inbox: Send Response": (
        [{"type": "response", "args": "use the old ones"}],
        {"type": "respond", "message": "use the old ones"},
    ),
    "inbox: Ignore": ([{"type": "ignore", "args": None}], {"type": "reject"}),
}


@pytest.mark.parametrize(("answer", "recorded"), ONE_CALL.values(), ids=ONE_CALL)
async def test_what_a_button_of_a_page_comes_to(answer: Any, recorded: dict[str, Any]) -> None:
    assert await _recorded(answer) == [recorded]


SEVERAL_CALLS = {
    "chat: Approve All": (_chat(APPROVED, APPROVED), ["approve", "approve"]),
    "chat: Submit all 2 decisions": (_chat(APPROVED, REJECTED), ["approve", "reject"]),
    "inbox: Accept, which answers the first only": (_inbox("accept"), ["approve"]),
    "inbox: Send Response, to the first only": ([{"type": "response", "args": "no"}], ["respond"]),
}


@pytest.mark.parametrize(("answer", "kinds"), SEVERAL_CALLS.values(), ids=SEVERAL_CALLS)
async def test_what_a_button_comes_to_when_several_calls_are_shown(answer: Any, kinds: list[str]) -> None:
    assert [one["type"] for one in await _recorded(answer, _row(1), _row(2))] == kinds


CRITICAL, IN_DOUBT = _row(risk="critical"), _row(doubt=True)

OF_A_PERSON = {
    "chat: Submit rejection": (_chat(REJECTED), CRITICAL, "reject"),
    "inbox: Send Response": ([{"type": "response", "args": "deleted by hand"}], CRITICAL, "done"),
    "chat: Approve of an effect in doubt": (_chat(APPROVED), IN_DOUBT, "retry"),
    "chat: Submit rejection of an effect in doubt": (_chat(REJECTED), IN_DOUBT, "abandon"),
    "inbox: Send Response to an effect in doubt": ([{"type": "response", "args": "it went out"}], IN_DOUBT, "done"),
}


@pytest.mark.parametrize(("answer", "row", "kind"), OF_A_PERSON.values(), ids=OF_A_PERSON)
async def test_what_a_button_comes_to_for_a_critical_call_or_an_effect_in_doubt(
    answer: Any, row: Approval, kind: str
) -> None:
    [recorded] = await _recorded(answer, row)

    assert recorded["type"] == kind


REFUSED = {
    "chat: text that is no number": (_chat(_chat_edit(quantity="many")), "quantity: Input should be a valid integer"),
    "chat: text that is no list": (_chat(_chat_edit(to="Bern")), "to: Input should be a valid list"),
    "chat: JSON of another kind than was shown": (_chat(_chat_edit(to='{"a": 1}')), "to: Input should be a valid list"),
    "chat: JSON without an end": (_chat(_chat_edit(to="[" * 100_000)), "to: Input should be a valid list"),
    "inbox: text that is no number": (_inbox("edit", quantity="many"), "quantity: Input should be a valid integer"),
}


@pytest.mark.parametrize(("answer", "said"), REFUSED.values(), ids=REFUSED)
async def test_an_edit_that_does_not_fit_is_refused_in_words(answer: Any, said: str) -> None:
    with pytest.raises(InvalidDecision, match=said):
        await _recorded(answer)


OF_ANOTHER_CALL = {
    "inbox: Accept of another tool's call": _row(tool="pay_invoice"),
    "inbox: Accept of a call with other arguments": _row(args={**ARGS, "quantity": 200}),
    "inbox: Accept of one that was true where this is 1": _row(args={**ARGS, "quantity": True}),
}


@pytest.mark.parametrize("asked", OF_ANOTHER_CALL.values(), ids=OF_ANOTHER_CALL)
@pytest.mark.parametrize("others", [[], [_row(2)]])
def test_a_page_that_shows_another_call_accepts_nothing(asked: Approval, others: list[Approval]) -> None:
    taken = decisions.match(_inbox("accept"), [asked, *others])

    assert list(taken.decisions) == []
    assert "for a call that was not asked here (ship)" in taken.problem


def test_a_page_that_shows_another_tool_edits_nothing() -> None:
    taken = decisions.match(_inbox("edit", quantity="3"), [_row(tool="pay_invoice")])

    assert (list(taken.decisions), "was not asked here (ship)" in taken.problem) == ([], True)


@pytest.mark.parametrize(
    "decision",
    [
        {"type": "edit", "args": {"action": "open", "quantity": 1}},
        {"type": "accept", "args": {"action": "ship"}},
        {"type": "accept", "args": {"action": 7, "args": {}}},
        {"type": "accept", "args": {"action": "ship", "args": "lamp"}},
        {"type": "response", "args": "ship"},
        None,
    ],
)
def test_arguments_that_only_look_like_a_call_sent_back_name_none(decision: Any) -> None:
    assert decisions.call_in(decision) is None


def test_the_request_is_one_that_both_pages_draw() -> None:
    """chat: names, arguments and a config for each action; inbox: the first action's `arguments` and config."""
    request = decisions.request([_row(1), _row(2, risk="critical")])

    for action, config in zip(request["action_requests"], request["review_configs"], strict=True):
        assert action["name"] == config["action_name"]
        assert action["args"] == action["arguments"] == ARGS
        assert isinstance(action["description"], str)
        assert isinstance(config["allowed_decisions"], list)
    assert request["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject", "respond"]


def test_the_description_says_what_a_response_counts_as() -> None:
    assert "any response says that it is done" in decisions.describe(_row(risk="critical"))
    assert "respond with its result if it happened" in decisions.describe(_row(doubt=True))


TYPED = {
    "Studio: an answer typed as JSON": ({"decisions": [{"type": "approve"}]}, ["approve"]),
    "Studio: one decision typed as JSON": (REJECTED, ["reject"]),
    "Studio: plain words": ("approve", []),
    "Studio: true": (True, []),
}


@pytest.mark.parametrize(("answer", "kinds"), TYPED.values(), ids=TYPED)
def test_what_is_typed_as_the_resume_value_decides_only_when_it_says_so(answer: Any, kinds: list[str]) -> None:
    taken = decisions.match(answer, [_row()])

    assert [decision["type"] for _, decision in taken.decisions] == kinds
    assert bool(taken.problem) is not bool(kinds)
