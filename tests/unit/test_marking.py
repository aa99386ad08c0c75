from __future__ import annotations

import pytest

from app import marking
from app.marking import MOST, spans_of, within
from app.pages.rendering import marked

IBAN = "DE89 3704 0044 0532 0130 00"


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("pay to ann@example.com now", "ann@example.com", "ann@example.com"),
        ("pay ANN@EXAMPLE.COM", "ann@example.com", "ANN@EXAMPLE.COM"),
        ("pay to DE89\n\t3704  0044 0532 0130 00, soon", IBAN, "DE89\n\t3704  0044 0532 0130 00"),
        (
            "pay to DE89\u200b 37\u00ad04 00\u202e44 0532\x00 0130 00.",
            IBAN,
            "DE89\u200b 37\u00ad04 00\u202e44 0532\x00 0130 00",
        ),
        ("in wide letters: \uff41\uff42\uff43", "ABC", "\uff41\uff42\uff43"),
        ("\u200b\u200bA Stra\u00dfe\u200b", "a stra\u00dfe", "A Stra\u00dfe"),
        ("not in 1234, but 23 it is", "23", "23"),
    ],
)
def test_a_value_is_found_however_it_is_written(text: str, value: str, found: str) -> None:
    assert [text[start:end] for start, end in spans_of(text, [value])] == [found]


@pytest.mark.parametrize("value", ["", " ", "\u200b", "art", "carta"])
def test_what_does_not_stand_as_words_of_its_own_is_not_found(value: str) -> None:
    assert spans_of("a cart, cart_a and part", [value]) == []


def test_places_are_told_in_order_and_what_overlaps_is_one() -> None:
    text = "pay Ann Lee, or Lee & Sons"

    assert [text[a:b] for a, b in spans_of(text, ["Lee", "ann lee", "Lee & Sons"])] == ["Ann Lee", "Lee & Sons"]


def test_of_many_places_and_of_a_long_text_the_first_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(spans_of("x " * (MOST + 50), ["x"])) == MOST
    monkeypatch.setattr(marking, "SEARCHED", 10)
    assert spans_of("0123456789 here", ["here"]) == []


def test_a_place_that_reaches_into_a_part_is_cut_to_it() -> None:
    assert within([(0, 2), (8, 12), (15, 30), (40, 41)], 10, 20) == [(0, 2), (5, 10)]


def test_what_is_marked_is_escaped_and_what_hides_in_it_is_spelt_out() -> None:
    text = "<b>a</b> &\u202e x"

    assert marked(text, [(0, 4), (9, 12)]) == (
        '<mark>&lt;b&gt;a</mark>&lt;/b&gt; <mark>&amp;<b class="spelt" title="a character that does not show">'
        "\\u202e</b> </mark>x"
    )
