"""Time: the system's, and one that tests move by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary point, never going back."""
        return time.monotonic()


class FixedClock:
    """Stands still until moved; for tests, ours and users'."""

    def __init__(self, now: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now, self._seconds = now, 0.0

    def now(self) -> datetime:
        """Where the wall clock stands."""
        return self._now

    def monotonic(self) -> float:
        """Seconds moved so far."""
        return self._seconds

    def move(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += timedelta(seconds=seconds)
        self._seconds += seconds
