from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relevance import GAP, PASSAGE_CHARS, cut, passages, scores, words_of

FILLER = "\n".join(f"Line {n} is about the weather and nothing else at all." for n in range(2_000))


@given(st.text(alphabet="ab \n\r\u2028", max_size=3_000))
def test_passages_are_the_text_in_pieces(text: str) -> None:
    pieces = passages(text)

    assert "".join(pieces) == text
    assert all(0 < len(piece) <= PASSAGE_CHARS for piece in pieces)


def test_a_rare_word_counts_more_than_a_common_one_and_case_does_not() -> None:
    pieces = ["the weather", "the weather", "the PARCEL", "nothing"]

    scored = scores(pieces, "weather of the parcel")

    assert scored[2] > scored[0] == scored[1] > scored[3] == 0
    assert scores(pieces, "") == [0.0] * 4
    assert scores([], "x") == []


def test_an_id_counts_whole_and_by_its_parts() -> None:
    assert words_of("Pay INV-7!") == {"pay", "inv-7", "inv", "7"}
    whole, part, other = scores(["about INV-7", "about INV-8", "about it"], "INV-7")
    assert whole > part > other == 0


@pytest.mark.parametrize("at", [0, 700, 1_999])
def test_what_answers_the_question_stays_in_its_place(at: int) -> None:
    lines = FILLER.split("\n")
    lines[at] = "The parcel of Zephyr is in cellar nine."

    kept = cut("\n".join(lines), "where is Zephyr's parcel?", 2_000)

    assert lines[at] in kept
    assert len(kept) <= 2_000 + 20 * len(GAP)
    assert kept.startswith(lines[0])
    places = [int(line.split()[1]) for line in kept.split("\n") if line.startswith("Line") and len(line.split()) > 1]
    assert places == sorted(places)


def test_where_nothing_answers_it_the_ends_stay() -> None:
    kept = cut(FILLER, "quantum", 2_000)

    assert kept.startswith("Line 0 ")
    assert kept.endswith(FILLER[-40:])
    assert kept.count(GAP) == 1


@given(st.text(max_size=300), st.text(max_size=20), st.integers(0, 400))
def test_a_text_that_fits_is_whole_and_others_are_short(text: str, query: str, most: int) -> None:
    kept = cut(text, query, most)

    assert kept == text if len(text) <= most else len(kept) <= max(most, PASSAGE_CHARS) + 4 * len(GAP)


@pytest.mark.alone
@pytest.mark.parametrize("piece", ["word ", "x", "a-", "\n", "é.", "1,"])
def test_five_million_characters_take_seconds(piece: str) -> None:
    begun = time.perf_counter()
    cut(piece * (5_000_000 // len(piece)), "a word of it", 20_000)
    assert time.perf_counter() - begun < 15
