"""Whether a value is shown to come from what somebody we trust wrote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.moments import Moments, moments_in
from services.provenance import Bound, Source, Trusted

ASKED = (
    "Please pay 1,200.50 EUR to DE89370400440532013000 and mail ann@example.org on May 3rd 2026 at 10:00 for one hour, "
    "titled 'Lunch with Ann'. Look at https://example.org/a?b=c, too. It is for June 13 2026."
)


def origin(value: Any, text: str = ASKED) -> str | None:
    return Trusted([Source(name="the request", text=text)]).origin(value)


@pytest.mark.parametrize(
    "value",
    [
        "DE89370400440532013000",
        "de89370400440532013000",
        "ann@example.org",
        "Lunch with Ann",
        "lunch  with ann",
        "(Lunch with: Ann.)",
        "lunch -\nwith 'Ann'",
        "https://example.org/a?b=c",
        1200.5,
        "2026-05-03",
        "2026-05-03 10:00",
        "2026-05-03T11:00",
        ["ann@example.org", "2026-05-03"],
        {"to": "ann@example.org"},
    ],
)
def test_what_was_said_is_shown_however_it_is_written(value: Any) -> None:
    assert origin(value) == "the request"


@pytest.mark.parametrize("value", [None, "", [], {}, False, "  "])
def test_nothing_needs_no_origin(value: Any) -> None:
    assert origin(value) == "nothing"


@pytest.mark.parametrize(
    "value",
    [
        "bob@example.org",
        "nn@example.org",  # a part of an address
        "ann@example.org.evil.net",
        "joann@example.org",
        "example.org",
        "https://example.org/a",
        "https://example.org/a?b=c&d=secret",
        "https://example.org/a?b=c&!~!",  # signs can spell a secret, and so can letter case
        "https://example.org/A?b=c",
        "https://example.org/a?b=c ~",
        "https://example.org/./a?b=c",
        "https://ann@example.org/a?b=c",
        "https:/example.org/a?b=c",
        "89370400440532013000",
        "Lunch Ann",
        13,  # part of a date
        "13",
        10,
        2026,
        1200,
        "2026-05-04",
        "2026-05-03 12:00",
        "2026-06-13 09:00",
        True,
        ["ann@example.org", "bob@example.org"],
        {"to": "ann@example.org", "cc": "bob@example.org"},
        "_ann@example.org",  # another mailbox
        "Ann~ann@example.org",
        "ann@example.org\u0308",
        "/lunch",
        "../lunch",
        "lunch/..",
        "lunch*",
        "13.",
        "\uff11\uff13",
        "(13)",
        "+13",
        "-13",
        "!?",
        object(),
        float("nan"),
    ],
)
def test_what_was_not_said_is_not_shown(value: Any) -> None:
    assert origin(value) is None


@pytest.mark.parametrize("value", ["../notes/*", "-5", "#general", "R & D"])
def test_signs_are_shown_where_they_stand_just_so(value: str) -> None:
    assert origin(value, f"It is '{value}'.") == "the request"
    assert origin(value, f"It is x{value}, or {value}x.") is None
    assert origin(value, f"It is {value.strip('./*-#').replace('&', '')}.") is None


@given(st.text(min_size=1, max_size=30))
def test_a_text_reversed_or_split_is_not_found_where_it_was_not_said(text: str) -> None:
    assert Trusted([]).origin(text) in (None, "nothing")


def test_a_record_is_one_that_a_lookup_of_its_kind_bound() -> None:
    trusted = Trusted([Source(name="the request", text="Delete 13 and 24")], [Bound(value="24", tool="search_files")])

    assert trusted.record("24", "delete_file", "file_id") == "search_files"
    assert trusted.record(24, "delete_file", "file_id") == "search_files"
    assert trusted.record("13", "delete_file", "file_id") is None
    assert trusted.record("24", "cancel_calendar_event", "event_id") is None
    assert trusted.record("24", "delete_file", "id") == "search_files"
    assert trusted.record("24", "cancel_calendar_event", "id") is None


def test_a_switch_is_asked_for_by_its_name() -> None:
    trusted = Trusted([Source(name="the request", text="Set up a recurring transaction")])

    assert trusted.flag("recurring") == "the request"
    assert trusted.flag("send_copy") is None
    assert trusted.flag("_") is None


@pytest.mark.parametrize(
    "text",
    [
        "Copy it, but do not overwrite",
        "Never overwrite. Copy it.",
        "Copy it without an overwrite",
        "Don't overwrite a; overwrite b",
        "The overwriter",
    ],
)
def test_a_switch_that_is_to_be_left_off_is_not_asked_for(text: str) -> None:
    assert Trusted([Source(name="the request", text=text)]).flag("overwrite") is None


def test_a_text_is_read_once_however_often_it_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(text: str) -> Moments:
        read.append(text)
        return moments_in(text)

    monkeypatch.setattr("services.provenance.moments_in", reading)
    sources = [Source(name="order", text=f"Order {number}") for number in range(50)]

    assert {Trusted(sources[:upto]).origin(99) for upto in range(51)} == {None}
    assert len(read) == 50
