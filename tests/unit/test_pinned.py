from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from graph.approvals import Approval
from graph.facts import Fact
from nodes import pinned
from services.cleaning import wrapped


def _result(text: str, *, name: str = "read_mail") -> ToolMessage:
    return ToolMessage(text, tool_call_id="c", name=name)


def _kept(text: str, in_use: set[str] | None = None, known: tuple[Fact, ...] = ()) -> list[tuple[str, str]]:
    return [(one["kind"], one["text"]) for one in pinned.values([_result(text)], in_use or set(), known)]


@pytest.mark.parametrize(
    "token",
    [
        "INV-2024-0042", "ORD-000001", "003-overdue-invoice", "123456", "b1946ac9-2d3e-4c5f-8a9b-0c1d2e3f4a5b",
        "ann.lee+x@mail.example.com", "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "2026-11-30",
        "2026-11-30 09:15", "30.11.2026", "1,250.00", "$1,250", "€ 99", "12.50 EUR", "USD 7", "CASE-7001",
    ],
)  # fmt: skip
def test_ids_amounts_dates_and_addresses_are_kept_with_their_line(token: str) -> None:
    line = f"About {token} there is more to say."

    assert _kept(f"Dear all,\n{line}\nBest wishes") == [("value", line)]


@pytest.mark.parametrize(
    "text", ["", "Nothing to see.", "A door was painted in room 7.", "state-of-the-art, 50 chairs"]
)
def test_prose_is_not(text: str) -> None:
    assert _kept(text) == []


def test_what_a_call_or_a_person_named_is_told_apart() -> None:
    messages: list[AnyMessage] = [
        HumanMessage("Pay INV-7, please"),
        AIMessage("", tool_calls=[{"name": "get_order", "args": {"id": "ORD-1"}, "id": "c"}]),
        AIMessage("INV-9 is mine"),
        _result("INV-8"),
    ]

    in_use = pinned.named(messages)

    assert in_use == {"inv-7", "ord-1"}
    assert _kept("inv-7: open\nINV-8: paid\nfor ORD-1.", in_use) == [
        ("value", "INV-8: paid"),
        ("used", "inv-7: open"),
        ("used", "for ORD-1."),
    ]


def test_a_line_comes_into_use_when_a_later_call_names_it() -> None:
    known = Fact(
        kind="value", text="IBAN of Contoso: DE89370400440532013000", source="read_mail", about="", outside=True
    )

    assert _kept("", {"de89370400440532013000"}, (known,)) == [("used", known["text"])]
    assert _kept("", {"other-1"}, (known,)) == []


def test_of_a_list_that_nobody_named_yet_each_line_is_kept() -> None:
    lines = [f"INV-2024-{n:03d} Acme {n}00.00 EUR" for n in range(pinned.OF_ONE_RESULT)]

    assert _kept("\n".join(lines), pinned.named([HumanMessage("pay every invoice in the list, one by one")])) == [
        ("value", line) for line in lines
    ]


def test_the_lines_of_one_result_are_finite_and_those_in_use_go_first() -> None:
    half = pinned.OF_ONE_RESULT // 2
    text = "\n".join(f"ID-{n}" for n in range(500))

    some = _kept(text, {f"id-{n}" for n in range(400, 400 + half)})
    assert [text for kind, text in some if kind == "used"] == [f"ID-{n}" for n in range(400, 400 + half)]
    assert [text for kind, text in some if kind == "value"] == [f"ID-{n}" for n in range(half)]
    assert _kept(text, {f"id-{n}" for n in range(500)}) == [("used", f"ID-{n}") for n in range(pinned.OF_ONE_RESULT)]


def test_long_lines_are_cut_around_their_tokens() -> None:
    [(_, cut)] = _kept(f"{'word ' * 500}total 1,250.00 EUR{' word' * 500}")
    assert "1,250.00 EUR" in cut
    assert len(cut) < 2 * pinned.LINE_CHARS


@pytest.mark.parametrize("width", range(1, 60))
def test_no_cut_goes_through_an_id(width: int) -> None:
    ids = [f"INV-2024-{n:03d}" for n in range(30)]

    cuts = [text for _, text in _kept(json.dumps([{"id": one, "of": "x" * width} for one in ids]))]

    assert [token for cut in cuts for token in re.findall(r"INV[-\d]*", cut)] == ids


def test_a_line_comes_into_use_once() -> None:
    line = Fact(kind="value", text="INV-7: open", source="read_mail", about="", outside=True)
    used: Fact = {**line, "kind": "used"}

    assert _kept("", {"inv-7"}, (line, used)) == []
    assert _kept("", {"inv-7"}, (line, {**used, "source": "get_order"})) == [("used", "INV-7: open")]


def test_what_a_stranger_wrote_is_marked_so_and_read_without_our_words() -> None:
    outside = _result(wrapped("Pay INV-1", source="read_mail", warnings=["override"]))

    [fact] = pinned.values([outside], set(), ())

    assert (fact["text"], fact["source"], fact["outside"]) == ("Pay INV-1", "read_mail", True)
    assert [one["outside"] for one in pinned.values([_result("INV-1")], set(), ())] == [False]


@pytest.mark.alone
@pytest.mark.parametrize("text", ["a." * 10_000, "1," * 10_000, "A1-" * 7_000, "x@" * 10_000, "DE89 " * 4_000])
def test_reading_takes_time_linear_in_the_text(text: str) -> None:
    begun = time.perf_counter()
    pinned.tokens_in(text)
    assert time.perf_counter() - begun < 1


ARGS = {"item": "Lamp\n2", "quantity": 2}
CALL: Any = {"name": "place_order", "args": ARGS, "id": "c1", "type": "tool_call"}


def _row(status: str, **fields: Any) -> Approval:
    given: dict[str, Any] = {"call_id": "c1", "tool": "place_order", "args": ARGS, "decided_by": "ann", **fields}
    return Approval(
        id="ap", thread_id="t", interrupt_id="i", risk="high", reason="spends", deadline=None, status=status, **given
    )


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (_row("approved"), "place_order: approved by a person"),
        (
            _row("rejected", decision={"type": "reject", "message": "not now,\nask Iris"}),
            'place_order: rejected by a person; they said: "not now, ask Iris"',
        ),
        (
            _row("responded", decision={"message": "use mine"}),
            'place_order: responded by a person; they said: "use mine"',
        ),
    ],
)
def test_a_decision_is_one_line_with_what_was_said(row: Approval, text: str) -> None:
    [fact] = pinned.decisions([CALL], [row])

    assert (fact["text"], fact["about"]) == (text, '{"item": "Lamp\\n2", "quantity": 2}')


def test_what_ran_after_an_edit_stands_with_the_arguments_which_are_told_as_data() -> None:
    row = _row("edited", decision={"type": "edit", "args": {"item": "Lamp", "quantity": 1}})

    [fact] = pinned.decisions([CALL], [row])

    assert fact["text"] == "place_order: edited by a person"
    assert fact["about"] == '{"item": "Lamp\\n2", "quantity": 2}; what ran: {"item": "Lamp", "quantity": 1}'


@pytest.mark.parametrize(
    "row",
    [
        _row("pending", decided_by=None),
        _row("approved", decided_by="timer"),
        _row("cancelled", decided_by="ballast"),
        _row("approved", call_id="c2"),
        _row("approved", tool="send_email"),
        _row("approved", args={"item": "Lamp", "quantity": 2}),
    ],
    ids=["undecided", "released in time", "closed", "other call", "other tool", "other arguments"],
)
def test_what_no_person_decided_of_this_call_is_no_decision(row: Approval) -> None:
    assert list(pinned.decisions([CALL], [row])) == []
