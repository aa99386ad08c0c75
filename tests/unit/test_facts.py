from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.facts import KEPT, SUMMARY_CHARS, Fact, FactKind, add_facts, add_lines

few = st.builds(
    Fact,
    kind=st.sampled_from(["decision", "value"]),
    text=st.integers(0, 60).map(str),
    source=st.sampled_from(["read_mail", "get_order"]),
    about=st.just(""),
    outside=st.booleans(),
)
updates = st.lists(st.lists(few, max_size=60), max_size=6)


def fact(text: str, kind: FactKind = "value") -> Fact:
    return Fact(kind=kind, text=text, source="read_mail", about="", outside=True)


@given(updates, st.integers(0, 6))
def test_facts_replayed_in_other_batches_are_the_same(every: list[list[Fact]], split: int) -> None:
    assert add_facts(add_facts([], every[:split]), every[split:]) == add_facts(None, every)


@given(updates)
def test_of_each_kind_the_last_distinct_ones_stay(every: list[list[Fact]]) -> None:
    merged = add_facts([], every)

    for kind, most in KEPT.items():
        met = [(one["source"], one["text"]) for update in every for one in update if one["kind"] == kind]
        last = list(dict.fromkeys(reversed(met)))[:most]
        assert [(one["source"], one["text"]) for one in merged if one["kind"] == kind] == last[::-1]


@pytest.mark.parametrize("kind", KEPT)
def test_a_list_is_finite_and_a_fact_met_again_stays_longest(kind: FactKind) -> None:
    many = [fact(str(n), kind) for n in range(KEPT[kind] + 1)]

    merged = add_facts(add_facts([], [many[:1]]), [many[1:], many[:1]])

    assert [one["text"] for one in merged] == [str(n) for n in range(2, KEPT[kind] + 1)] + ["0"]


texts = st.lists(st.lists(st.integers(0, 30).map(lambda n: f"{n} " * (40 * n)), max_size=12).map("\n".join), max_size=6)


@given(texts, st.integers(0, 6))
def test_a_summary_replayed_in_other_batches_is_the_same(every: list[str], split: int) -> None:
    whole = add_lines(None, every)

    assert add_lines(add_lines("", every[:split]), every[split:]) == whole
    assert len(whole) <= SUMMARY_CHARS
    assert len(set(whole.splitlines())) == len(whole.splitlines())


def test_of_a_summary_the_lines_last_met_stay_as_they_are() -> None:
    assert add_lines("one\ntwo", ["\nthree\n \none"]) == "two\nthree\none"
    assert add_lines("old", ["x" * (SUMMARY_CHARS - 1)]) == "x" * (SUMMARY_CHARS - 1)
    assert add_lines("", ["x" * SUMMARY_CHARS, "new"]) == "new"
