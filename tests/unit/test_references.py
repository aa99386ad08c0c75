from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.references import MOST_CHARS, Missing, Reference, Results, references

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
        ("order ${t1.id} costs ${t1.total}.", "order ORD-1 costs 76.5."),
        ("${t1.id}-${t1.total}", "ORD-1-76.5"),
        ("订单${t1.id}的", "订单ORD-1的"),
        ("it says: ${t2}", "it says: plain words"),
        ("lines: ${t1.lines}", 'lines: [{"item": "lamp"}, {"item": "desk"}]'),
        ({"deep": ["$t1.id", {"er": "$t2"}], "n": 4}, {"deep": ["ORD-1", {"er": "plain words"}], "n": 4}),
        ("pay $76.50 from $HOME, not ${ t1 } or $t1.total", "pay $76.50 from $HOME, not ${ t1 } or $t1.total"),
        ("$100", "$100"),
        ("$", "$"),
        (None, None),
    ],
)
def test_references_are_filled_with_what_they_stand_for(value: Any, expected: Any) -> None:
    assert Results(texts=GIVEN).filled(value) == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("$t9", "there is no result of t9"),
        ("$t2.total", "what t2 gave is text without fields"),
        ("$t1.sum", "t1 gave no 'sum', but an object without it"),
        ("$t1.lines.2", "t1 gave no '2', but a list"),
        ("$t1.total.x", "t1 gave no 'x', but a number"),
        ("$t1.lines." + "1" * 5_000, "t1 gave no '1"),
        ("$deep.x", "what deep gave is text without fields"),
        ("the sum is ${t1.sum}", "t1 gave no 'sum'"),
        ("the sum is ${t9.sum}", "there is no result of t9"),
        ("${long}${long}", "characters: refer to less"),
    ],
    ids=lambda text: text[:20],
)
def test_one_that_stands_for_nothing_is_named(value: str, why: str) -> None:
    with pytest.raises(Missing) as missing:
        Results(texts=GIVEN | {"deep": "[" * 100_000, "long": "x" * MOST_CHARS}).filled(value)

    assert why in missing.value.why


def test_whole_arguments_refer_and_what_stands_in_braces() -> None:
    args = {"a": "$t1.id", "b": ["$gone.x"], "c": "see ${t2} and $t3 and $5", "d": 3}

    assert [str(one) for one in references(args)] == ["$t1.id", "$gone.x", "$t2"]
    assert next(references("$t1.a.b")) == Reference(task="t1", path=("a", "b"))


TEXT = st.lists(st.sampled_from(["$", "{", "}", "t1", "t2", ".", "total", "-", "的", " ", "9"]), max_size=8).map(
    "".join
)


@given(st.recursive(st.none() | st.integers() | TEXT, lambda part: st.lists(part, max_size=3)))
def test_what_refers_to_nothing_stays_as_it_is_and_all_that_refers_is_found(value: Any) -> None:
    """Filled from the tasks it is known to need, or it is said what is missing: never sent half filled."""
    found = {one.task for one in references(value)}
    try:
        filled = Results(texts=GIVEN).filled(value)
    except Missing as missing:
        assert any(f"${name}" in missing.why for name in found)  # noqa: PT017 - filling may do either
    else:
        assert found <= set(GIVEN)
        assert found or filled == value
