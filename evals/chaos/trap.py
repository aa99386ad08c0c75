"""The named points of a run, and the trap that springs at one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

NODES = {
    "react": ("reason", "approve", "act", "sanitize", "compress_history", "finish"),
    "plan": ("plan", "execute", "approve", "compress_history", "join", "finish"),
}
"""By graph. `sanitize` of the plan graph cleans only what another graph left."""

OF_ALL = (
    "effect.before",  # reserved in the ledger, not yet done
    "effect.after",  # done, not yet recorded
    "effect.recorded",
    "writes.before",
    "writes.after",  # between the writes of a node, or of a plan's task, and the checkpoint
    "checkpoint.before",
    "checkpoint.after",
    "waiting",  # the run waits for a person, its process is still up
    "decide.before",
    "decide.after",
    "round_trip",  # a database round trip, whichever it is: a random moment that repeats
)

POINTS = {
    graph: (*(f"{node}.{where}" for node in nodes for where in ("before", "inside", "after")), *OF_ALL)
    for graph, nodes in NODES.items()
}
"""By graph, where a process can be killed by itself; a node's `after` is before its result is stored."""

MOMENT = "moment"
"""Not a point: the process is killed from outside after a share of the undisturbed run's time."""


@dataclass(kw_only=True)
class Trap:
    """Counts what is reached; springs the `at`-th time at `point`."""

    point: str | None = None
    at: int = 0
    spring: Callable[[], None] = lambda: None
    hits: Counter[str] = field(default_factory=Counter)
    node: str = ""
    """The node that runs now."""
    asked: int = 0
    """Model calls it has made: until the next node begins they may not be stored, and a kill loses them."""

    def reach(self, point: str) -> None:
        """A point is reached."""
        self.hits[point] += 1
        if point == self.point and self.hits[point] == self.at:
            self.spring()
