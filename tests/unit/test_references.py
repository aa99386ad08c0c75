from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.references import Missing, Reference, filled, references

GIVEN = {
    "t1": json.dumps({"id": "ORD-1", "total": 76.5, "lines": [{"item": "lamp"}, {"item": "desk"}], "paid": False}),
    "t2": "plain words",
    "später": json.dumps({"größe": 3}),
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$t1.total", 76.5),
        ("$t1.paid", False),
        ("$t1.lines.1.item", "desk"),
        ("$t1.lines", [{"item": "lamp"}, {"item": "desk"}]),
        ("$t2", "plain words"),
        ("$später.größe", 3),
        ("order $t1.id costs $t1.total.", "order ORD-1 costs 76.5."),
        ("it says: $t2", "it says: plain words"),
        ("lines: $t1.lines", 'lines: [{"item": "lamp"}, {"item": "desk"}]'),
        ({"deep": ["$t1.id", {"er": "$t2"}], "n": 4}, {"deep": ["ORD-1", {"er": "plain words"}], "n": 4}),
        ("pay $76.50 from $HOME, not $t10.total", "pay $76.50 from $HOME, not $t10.total"),
        ("$100", "$100"),
        ("$", "$"),
        (None, None),
    ],
)
def test_references_are_filled_with_what_they_stand_for(value: Any, expected: Any) -> None:
    assert filled(value, GIVEN) == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("$t9", "there is no result of t9"),
        ("$t2.total", "what t2 gave is text without fields"),
        ("$t1.sum", "t1 gave no 'sum', only id, total, lines, paid"),
        ("$t1.lines.2", "t1 gave no '2', only list"),
        ("$t1.total.x", "t1 gave no 'x', only float"),
        ("the sum is $t1.sum", "t1 gave no 'sum'"),
    ],
)
def test_one_that_stands_for_nothing_is_named(value: str, why: str) -> None:
    with pytest.raises(Missing) as missing:
        filled(value, GIVEN)

    assert why in missing.value.why


def test_whole_arguments_refer_whatever_they_name_parts_of_a_text_only_to_tasks() -> None:
    args = {"a": "$t1.id", "b": ["$gone.x"], "c": "see $t2 and $gone and $5", "d": 3}

    assert [str(one) for one in references(args, {"t1", "t2"})] == ["$t1.id", "$gone.x", "$t2"]
    assert next(references("$t1.a.b", ())) == Reference(task="t1", path=("a", "b"))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda part: st.lists(part, max_size=3)))
def test_what_refers_to_nothing_stays_as_it_is(value: Any) -> None:
    if not list(references(value, GIVEN)):
        assert filled(value, GIVEN) == value
