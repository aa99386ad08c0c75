from __future__ import annotations

from datetime import UTC, datetime, timedelta

from graph.context import Clock
from services.clock import FixedClock, SystemClock


def test_the_system_clock_is_aware_and_never_goes_back() -> None:
    clock: Clock = SystemClock()
    before, first, second = datetime.now(UTC), clock.monotonic(), clock.monotonic()

    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().utcoffset() == timedelta(0)
    assert first <= second


def test_a_fixed_clock_stands_still_until_it_is_moved() -> None:
    began = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)
    clock = FixedClock(began)
    seen: Clock = clock

    assert [(seen.now(), seen.monotonic()) for _ in range(2)] == [(began, 0.0)] * 2
    clock.move(90)
    clock.move(0.5)

    assert (seen.now(), seen.monotonic()) == (began + timedelta(seconds=90.5), 90.5)
