"""Dates, times of day, durations and numbers in what a person wrote, as values that can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation

MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_MONTH = "|".join(f"{name}|{name[:3]}" for name in MONTHS) + "|sept"
_WORDS: dict[str, Decimal | int] = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "half an": Decimal("0.5"),
}
_UNITS = {"minute": 60, "min": 60, "hour": 3_600, "hr": 3_600, "day": 86_400, "week": 604_800}

_ISO = re.compile(r"(?<![\w-])(\d{4})-(\d{2})-(\d{2})(?:(?![\w-])|[Tt](?=\d{2}:))")
_MONTH_FIRST = re.compile(rf"\b({_MONTH})\.? (\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (\d{{4}})\b)?")
_DAY_FIRST = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?({_MONTH})\b\.?(?:,? (\d{{4}})\b)?")
_TIME = re.compile(
    r"(?<![\d:.])(\d{1,2})(?::(\d{2})(?::\d{2})?)? ?([ap])\.?m\b|(?<![\d:.])(\d{1,2}):(\d{2})(?::\d{2})?(?![\d:])"
)
_LENGTH = re.compile(rf"\b(\d{{1,4}}(?:\.\d{{1,2}})?|{'|'.join(_WORDS)})[ -]({'|'.join(_UNITS)})s?\b")
_YEAR = re.compile(r"(?<![\w.,-])(?:19|20)\d{2}(?![\w-])")
_NUMBER = re.compile(r"(?<![\w.,@/:#-])[$€£]?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,15}(?:\.\d{1,10})?)(?![\w@/:-]|[.,]\d)")


@dataclass(frozen=True, kw_only=True)
class Day:
    """A date as it was written: perhaps without its year."""

    month: int
    day: int
    year: int | None = None


@dataclass(kw_only=True)
class Moments:
    """All that is said in a text. What is part of a date or a time is no number of its own."""

    days: list[Day] = field(default_factory=list)
    times: set[time] = field(default_factory=set)
    lengths: set[timedelta] = field(default_factory=set)
    years: set[int] = field(default_factory=set)
    numbers: set[Decimal] = field(default_factory=set)

    def names(self, day: date) -> bool:
        """Whether it is one of these dates. One written without its year stands for any year that is also written."""
        return any(
            (one.month, one.day) == (day.month, day.day)
            and (one.year == day.year if one.year else day.year in self.years)
            for one in self.days
        )


def moments_in(text: str) -> Moments:
    """What is said in the text."""
    found = Moments()
    left = " ".join(text.casefold().split())
    found.years = {int(one.group()) for one in _YEAR.finditer(left)}
    for pattern, order in ((_ISO, (2, 3, 1)), (_MONTH_FIRST, (1, 2, 3)), (_DAY_FIRST, (2, 1, 3))):
        for one in pattern.finditer(left):
            if day := _day(*(one.group(at) for at in order)):
                found.days.append(day)
                found.years |= {day.year} if day.year else set()
        left = pattern.sub("  \0 ", left)
    for one in _TIME.finditer(left):
        if (at := _time(one)) is not None:
            found.times.add(at)
    left = _TIME.sub(" \0 ", left)
    found.lengths = {timedelta(seconds=float(_amount(one[1]) * _UNITS[one[2]])) for one in _LENGTH.finditer(left)}
    found.numbers = set(_numbers(left))
    return found


def _day(month: str, day: str, year: str | None) -> Day | None:
    number = int(month) if month.isdigit() else next(at for at, name in enumerate(MONTHS, 1) if name[:3] == month[:3])
    if not (1 <= number <= 12 and 1 <= int(day) <= 31):  # noqa: PLR2004 - the calendar's
        return None
    return Day(month=number, day=int(day), year=int(year) if year else None)


def _time(one: re.Match[str]) -> time | None:
    if one[3]:
        hour, minute = int(one[1]) % 12 + (12 if one[3] == "p" else 0), int(one[2] or 0)
    else:
        hour, minute = int(one[4]), int(one[5])
    return time(hour, minute) if hour < 24 and minute < 60 else None  # noqa: PLR2004 - the clock's


def _amount(written: str) -> Decimal:
    return Decimal(_WORDS[written]) if written in _WORDS else Decimal(written)


def _numbers(text: str) -> Iterator[Decimal]:
    for one in _NUMBER.finditer(text):
        try:
            yield Decimal(one[1].replace(",", ""))
        except InvalidOperation:
            continue
