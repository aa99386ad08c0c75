from __future__ import annotations

from typing import Any, Literal

import pytest

from app.pages.fields import LONGEST, PREFIX, UnreadableField, arguments, fields_of, typed_into
from tools.base import tool


@tool(risk="high", untrusted_output=False, idempotent=False)
async def book(  # noqa: PLR0913, PLR0917 - a field of each kind
    place: str,
    nights: int,
    price: float,
    quiet: bool,  # noqa: FBT001 - a tool's argument
    board: Literal["none", "half"],
    guests: list[str],
    note: str | None = None,
) -> str:
    """Book a room.

    Args:
        place: Where.
        nights: How many.
        price: Of a night.
        quiet: Away from the street.
        board: What is served.
        guests: Who comes.
        note: Anything else.
    """
    return f"{place} {nights} {price} {quiet} {board} {guests} {note}"


ARGS: dict[str, Any] = {
    "place": "Inn", "nights": 2, "price": 80.5, "quiet": True, "board": "half", "guests": ["Ann"], "note": None,
}  # fmt: skip
FIELDS = fields_of(book, ARGS)


def _made(**typed: str) -> dict[str, Any]:
    return arguments(FIELDS, {PREFIX + name: text for name, text in typed.items()}, ARGS)


def test_each_argument_has_a_field_of_its_kind() -> None:
    kinds = {field.name: field.kind for field in FIELDS}

    assert kinds == {
        "place": "text", "nights": "number", "price": "number", "quiet": "choice", "board": "choice",
        "guests": "json", "note": "text",
    }  # fmt: skip
    assert [field.options for field in FIELDS if field.options] == [("true", "false"), ('"none"', '"half"')]
    assert {field.name for field in FIELDS if not field.required} == {"note"}
    assert FIELDS[0].about == "Where."


def test_long_text_gets_room_and_what_is_very_long_is_not_edited() -> None:
    [field, longest] = fields_of(None, {"a": "two\nlines", "b": "x" * (LONGEST + 1)})

    assert (field.kind, field.editable, longest.editable) == ("long", True, False)


def test_a_tool_that_is_gone_and_a_value_of_another_type_can_be_edited_as_json() -> None:
    assert [field.kind for field in fields_of(None, {"a": 1, "b": {}, "c": "x"})] == ["json", "json", "text"]
    assert fields_of(book, {**ARGS, "nights": "two"})[1].kind == "json"


def test_what_was_not_touched_stays_as_it_was() -> None:
    assert _made(place="Inn", nights="2", guests='[\r\n  "Ann"\r\n]') == ARGS
    assert _made() == ARGS


def test_what_was_typed_is_read() -> None:
    made = _made(place="", nights="3", quiet="false", board='"none"', guests='["Ben"]', note="late")

    assert made == {
        "place": "", "nights": "3", "price": 80.5, "quiet": False, "board": "none", "guests": ["Ben"], "note": "late",
    }  # fmt: skip


@tool(risk="high", untrusted_output=False, idempotent=False)
async def count(at_most: int | None = None) -> str:
    """Count.

    Args:
        at_most: How far.
    """
    return str(at_most)


def test_an_argument_that_may_be_left_out_can_be_taken_out() -> None:
    [field] = fields_of(count, {"at_most": 3})

    assert (field.kind, field.required) == ("number", False)
    assert arguments([field], {PREFIX + "at_most": ""}, {"at_most": 3}) == {}


def test_nothing_is_shown_as_an_empty_field_and_stays_nothing() -> None:
    [field] = fields_of(count, {"at_most": None})

    assert (field.kind, field.text) == ("number", "")
    assert arguments([field], {PREFIX + "at_most": ""}, {"at_most": None}) == {"at_most": None}


def test_an_argument_the_call_does_not_have_can_be_given() -> None:
    without = {name: value for name, value in ARGS.items() if name != "note"}
    fields = fields_of(book, without)

    assert arguments(fields, {PREFIX + "note": ""}, without) == without
    assert arguments(fields, {PREFIX + "note": "late"}, without)["note"] == "late"


def test_every_field_that_can_not_be_read_is_named() -> None:
    with pytest.raises(UnreadableField) as caught:
        _made(nights=" ", guests="[1,", place="")

    assert sorted(caught.value.faults) == ["guests", "nights"]


def test_a_form_comes_back_as_it_was_typed() -> None:
    back = {field.name: field for field in typed_into(FIELDS, {PREFIX + "nights": "two"}, {"nights": "no number"})}

    assert (back["nights"].text, back["nights"].error) == ("two", "no number")
    assert (back["place"].text, back["place"].error) == ("Inn", "")


def test_what_hides_in_a_value_is_spelt_out_and_kept_when_it_is_not_touched() -> None:
    args = {"a": "x\u202ey", "b": "z"}
    fields = fields_of(None, args)

    assert (fields[0].text, fields[0].hides, fields[1].hides) == (r"x\u202ey", True, False)
    assert arguments(fields, {PREFIX + "a": r"x\u202ey", PREFIX + "b": "q"}, args) == {"a": "x\u202ey", "b": "q"}
    assert arguments(fields, {PREFIX + "a": r"x\u202ez", PREFIX + "b": "z"}, args)["a"] == r"x\u202ez"
