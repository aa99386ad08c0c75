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
    taken: Counter[str]
    """Calls that were made, or are set aside; grows."""

    def take(self, tool: str, max_calls: int | None) -> int | None:
        """Count one more call of the tool, which itself allows `max_calls`; the limit when there is no room for it."""
        limit = min((one for one in (self.limits.get(tool), max_calls) if one is not None), default=None)
        if limit is not None and self.taken[tool] >= limit:
            return limit
        self.taken[tool] += 1
        return None
