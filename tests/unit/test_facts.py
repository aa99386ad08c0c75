from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import facts
from graph.facts import KEPT, OF_ONE_SOURCE, SUMMARY_CHARS, Fact, FactKind, add_facts, add_lines

few = st.builds(
    Fact,
    kind=st.sampled_from(["decision", "result"]),
    text=st.integers(0, 9).map(str),
    source=st.sampled_from(["read_mail", "get_order", "get_price"]),
    about=st.just(""),
    outside=st.booleans(),
)
updates = st.lists(st.lists(few, max_size=20), max_size=6)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Bounds that few facts reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts, "KEPT", {**KEPT, "decision": 8, "result": 5})
        patch.setattr(facts, "OF_ONE_SOURCE", {**OF_ONE_SOURCE, "decision": 4})
        yield


def fact(text: str, kind: FactKind = "value", source: str = "read_mail") -> Fact:
    return Fact(kind=kind, text=text, source=source, about="", outside=True)


@given(updates, st.integers(0, 6))
def test_facts_replayed_in_other_batches_are_the_same(every: list[list[Fact]], split: int) -> None:
    assert add_facts(add_facts([], every[:split]), every[split:]) == add_facts(None, every)


@given(updates)
def test_the_last_distinct_ones_of_each_source_stay_and_of_those_the_last_of_all(every: list[list[Fact]]) -> None:
    merged = add_facts([], every)

    for kind, of_one, of_all in (("decision", 4, 8), ("result", 5, 5)):
        met = [(one["source"], one["text"]) for update in every for one in update if one["kind"] == kind]
        last = list(dict.fromkeys(reversed(met)))
        stay = [one for at, one in enumerate(last) if sum(before[0] == one[0] for before in last[:at]) < of_one][
            :of_all
        ]
        assert [(one["source"], one["text"]) for one in merged if one["kind"] == kind] == stay[::-1]


@pytest.mark.parametrize("kind", KEPT)
def test_a_list_is_finite_and_a_fact_met_again_stays_longest(kind: FactKind) -> None:
    most = facts.OF_ONE_SOURCE.get(kind, facts.KEPT[kind])
    many = [fact(str(n), kind) for n in range(most + 1)]

    merged = add_facts(add_facts([], [many[:1]]), [many[1:], many[:1]])

    assert [one["text"] for one in merged] == [str(n) for n in range(2, most + 1)] + ["0"]


@pytest.mark.parametrize("kind", OF_ONE_SOURCE)
def test_no_source_pushes_out_what_another_brought_nor_do_names_without_end_fill_the_state(kind: FactKind) -> None:
    true = fact("INV-7: pay to DE89370400440532013000", kind, "get_order")
    flood = [fact(f"INV-7 {n}", kind) for n in range(3 * facts.KEPT[kind])]

    assert true in add_facts([true], [flood])
    assert (
        len(add_facts([true], [[fact("INV-7", kind, f"made_up_{n}") for n in range(3 * facts.KEPT[kind])]]))
        == (facts.KEPT[kind])
    )


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
