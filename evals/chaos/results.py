"""What the cases gave, by fault, and how to repeat the one that failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

BROKEN = ("lost", "duplicated", "missing", "stuck", "over limit")
COLUMNS = ("fault", "cases", "struck", *BROKEN, "in doubt", "surfaced", "failed")


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one case went."""

    case: str
    fault: str
    """`kill`, a blow to Postgres (`cut`, `restart`, `outage`), or `model`."""
    struck: int
    """Kills, blows, or faulty model answers."""
    points: tuple[str, ...] = ()
    """Where."""
    doubts: int = 0
    """Effects that a cut-off attempt left open."""
    surfaced: int = 0
    """Those of them that a person was asked about or the tool's own check settled."""
    problems: tuple[tuple[str, str], ...] = ()
    """(kind, what happened)."""
    seconds: float = 0.0
    outcome: str | None = None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Result:
        """From its JSON."""
        lists = {"points": tuple(row["points"]), "problems": tuple(tuple(one) for one in row["problems"])}
        return cls(**{**row, **lists})


def table(results: Iterable[Result]) -> list[dict[str, Any]]:
    """A row for each fault, in the order they came. A case counts once in a column, whatever it did how often."""
    rows: dict[str, dict[str, Any]] = {}
    for result in results:
        row = rows.setdefault(result.fault, {"fault": result.fault, **dict.fromkeys(COLUMNS[1:], 0)})
        kinds = {kind for kind, _ in result.problems}
        row["cases"] += 1
        row["struck"] += result.struck
        row["in doubt"] += result.doubts
        row["surfaced"] += result.surfaced
        row["failed"] += bool(kinds)
        for kind in kinds.intersection(BROKEN):
            row[kind] += 1
    return list(rows.values())


def failures(results: Sequence[Result], seed: int, graph: str = "react") -> list[str]:
    """A line for each case that failed: what was wrong, and the command that repeats it."""
    which = "" if graph == "react" else f" --graph {graph}"
    return [
        f"{result.case}: {'; '.join(f'{kind}: {what}' for kind, what in result.problems)}\n"
        f"  repeat: ballast chaos --seed {seed}{which} --case {result.case}"
        for result in results
        if result.problems
    ]
