"""The intent of a call: one for all spellings of the same arguments, another for any other arguments."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from graph.approvals import same_arguments
from tools.registry import ToolBox

BOX = ToolBox([])
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(), VALUES, max_size=4)


def _respelt(value: Any) -> Any:
    """The same, written another way: names in reverse order, whole numbers as floats, accents apart."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return unicodedata.normalize("NFD", value)
    if isinstance(value, int) and abs(value) < 2**53:
        return -0.0 if value == 0 else float(value)
    if isinstance(value, list):
        return [_respelt(one) for one in value]
    if isinstance(value, dict):
        made = {unicodedata.normalize("NFD", key): _respelt(one) for key, one in reversed(value.items())}
        return made if len(made) == len(value) else value
    return value


def _meaning(value: Any) -> Any:
    """Written out by type, so that what differs differs: an independent account of what counts as the same."""
    if isinstance(value, bool) or value is None:
        return ("constant", str(value))
    if isinstance(value, (int, float)):
        return ("number", int(value) if value == int(value) else value)
    if isinstance(value, str):
        return ("text", unicodedata.normalize("NFC", value))
    if isinstance(value, list):
        return ("list", [_meaning(one) for one in value])
    return ("object", sorted((unicodedata.normalize("NFC", key), _meaning(one)) for key, one in value.items()))


def _intent(args: dict[str, Any]) -> str | None:
    return BOX.intent("anything", args)


@given(ARGUMENTS)
def test_order_number_format_and_unicode_form_do_not_change_an_intent(args: dict[str, Any]) -> None:
    assert _intent(_respelt(args)) == _intent(args)


@given(ARGUMENTS, ARGUMENTS)
def test_different_arguments_are_different_intents(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (_intent(one) == _intent(other)) is (repr(_meaning(one)) == repr(_meaning(other)))


@given(ARGUMENTS, st.text(), VALUES, VALUES)
def test_one_changed_value_is_another_intent(args: dict[str, Any], name: str, one: Any, other: Any) -> None:
    same = _intent({**args, name: one}) == _intent({**args, name: other})

    assert same is (repr(_meaning(one)) == repr(_meaning(other)))


@given(st.integers(min_value=2**53))
def test_whole_numbers_are_told_apart_whatever_their_size(number: int) -> None:
    assert _intent({"n": number}) != _intent({"n": number + 1})


def test_true_is_not_one_neither_as_an_intent_nor_for_a_decision() -> None:
    assert len({_intent({"n": value}) for value in (True, 1, "1", None)}) == 4
    assert not same_arguments({"n": True}, {"n": 1})
    assert same_arguments({"a": 1, "b": [2]}, {"b": [2], "a": 1})


@given(ARGUMENTS)
def test_stored_and_read_back_arguments_have_the_same_intent(args: dict[str, Any]) -> None:
    assert _intent(json.loads(json.dumps(args))) == _intent(args)
