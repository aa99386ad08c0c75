"""What a person wrote, as values: dates, times, lengths, numbers."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.moments import MONTHS, moments_in


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("on 2024-05-19", date(2024, 5, 19)),
        ("from January 11th to January 15th 2025", date(2025, 1, 11)),
        ("from January 11th to January 15th 2025", date(2025, 1, 15)),
        ("on May 1st, 2024", date(2024, 5, 1)),
        ("on 3 Sept. 2026", date(2026, 9, 3)),
        ("on the 13th of May 2024", date(2024, 5, 13)),
        ("2024-05-19T10:00", date(2024, 5, 19)),
    ],
)
def test_a_date_is_named_however_it_is_written(text: str, day: date) -> None:
    assert moments_in(text).names(day)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("on May 1st", date(2024, 5, 1)),  # no year is said
        ("on May 1st 2024", date(2025, 5, 1)),
        ("on May 1st 2024", date(2024, 5, 2)),
        ("id 2024-05-19-7", date(2024, 5, 19)),
        ("on 2024-13-19", date(2024, 12, 19)),
        ("", date(2024, 5, 19)),
    ],
)
def test_a_date_that_was_not_said_is_not_named(text: str, day: date) -> None:
    assert not moments_in(text).names(day)


def test_what_is_part_of_a_date_or_a_time_or_an_id_is_no_number() -> None:
    said = moments_in(
        "On June 13 2024 at 10:30 pay 1,200.50 USD, 12.00 and $7 for INV-42, room 4b, a@5.org, 2025-01-02"
    )

    assert said.numbers == {Decimal("1200.50"), Decimal("12.00"), Decimal(7)}
    assert said.times == {time(10, 30)}


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("at 10:00 or 16:00", {time(10), time(16)}),
        ("at 9 am and 9:15pm", {time(9), time(21, 15)}),
        ("at 12 am, 12 pm", {time(0), time(12)}),
        ("25:00 or 10:75", set()),
    ],
)
def test_times(text: str, times: set[time]) -> None:
    assert moments_in(text).times == times


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("a 1-hour long event", timedelta(hours=1)),
        ("for one hour", timedelta(hours=1)),
        ("book 5 hours", timedelta(hours=5)),
        ("30 minutes", timedelta(minutes=30)),
        ("half an hour", timedelta(minutes=30)),
    ],
)
def test_lengths(text: str, length: timedelta) -> None:
    assert length in moments_in(text).lengths


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)), st.sampled_from(["iso", "english"]))
def test_each_date_names_itself_and_not_the_next(day: date, form: str) -> None:
    text = day.isoformat() if form == "iso" else f"{MONTHS[day.month - 1].title()} {day.day}, {day.year}"

    said = moments_in(f"Please meet on {text} with 3 people.")

    assert said.names(day)
    assert not said.names(day + timedelta(days=1))
    assert said.numbers == {Decimal(3)}
