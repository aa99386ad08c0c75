"""Most calls of single tools in a run: what the tasks of a plan make is set aside, its sub-tasks share the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Caps:
    """The caps on single tools, in one pass over a plan."""

    limits: Mapping[str, int]
    """By tool, as the run's settings have them."""
    made: Counter[str]
    """Calls that were made; grows."""
    taken: Counter[str]
    """The same with those that are set aside; grows."""

    def begin(self, tool: str, max_calls: int | None) -> int | None:
        """Count a call that was set aside as made, `max_calls` is the tool's own cap; the limit when it is passed."""
        limit = self._limit(tool, max_calls)
        if limit is not None and self.made[tool] >= limit:
            return limit
        self.made[tool] += 1
        return None

    def take(self, tool: str, max_calls: int | None) -> int | None:
        """Count one more call; the limit when there is no room for it beside those that are set aside."""
        limit = self._limit(tool, max_calls)
        if limit is not None and self.taken[tool] >= limit:
            return limit
        self.taken[tool] += 1
        self.made[tool] += 1
        return None

    def _limit(self, tool: str, max_calls: int | None) -> int | None:
        return min((one for one in (self.limits.get(tool), max_calls) if one is not None), default=None)
