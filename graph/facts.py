"""What is kept of a history that was folded away: facts, one a line, which are never told anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from typing_extensions import TypedDict  # typing's own has no schema before Python 3.12

FactKind = Literal["decision", "used", "value", "result"]
"""`decision`: what a person decided of a call. `used`: a line of a result with an id, amount, date or address that a
call or a person also named. `value`: such a line that nobody named yet. `result`: a result that can be opened again."""

KEPT: Mapping[FactKind, int] = {"decision": 400, "used": 2_000, "value": 2_000, "result": 2_000}
"""Most facts of a kind; the ones last met stay."""

OF_ONE_SOURCE: Mapping[FactKind, int] = {"decision": 200, "used": 500, "value": 500}
"""Of these from one source, so that no tool's lines push out another's. How many results there are is bounded by the
calls a run may make, whatever anyone writes into them."""


class Fact(TypedDict):
    """One line that survives every fold as it stands."""

    kind: FactKind
    text: str
    source: str
    """The tool it came from, by the name in the call: a name no tool has counts as any other."""
    about: str
    """For a decision and a result the arguments of the call, else empty."""
    outside: bool
    """Whether that text was written by someone outside."""


def add_facts(known: list[Fact] | None, updates: Sequence[Any]) -> list[Fact]:
    """The union of what is known and each list of facts in `updates`; one that is met again counts as new.

    `DeltaChannel` replays updates in other batches than they were made in, so what stays depends on the order alone:
    of each kind the last OF_ONE_SOURCE distinct ones of each source, and of those the last KEPT. A fact that was
    dropped would not stay later either: as many that were met after it stay, or were pushed out by newer ones.
    """
    merged: dict[tuple[FactKind, str, str], Fact] = {}
    for fact in [*(known or []), *(fact for update in updates for fact in update)]:
        key = (fact["kind"], fact["source"], fact["text"])
        merged.pop(key, None)
        merged[key] = fact
    of_all: Counter[FactKind] = Counter()
    of_one: Counter[tuple[FactKind, str]] = Counter()
    kept: list[Fact] = []
    for (kind, source, _), fact in reversed(merged.items()):
        if of_all[kind] < KEPT[kind] and of_one[kind, source] < OF_ONE_SOURCE.get(kind, KEPT[kind]):
            of_all[kind] += 1
            of_one[kind, source] += 1
            kept.append(fact)
    return kept[::-1]


SUMMARY_CHARS = 6_000
"""Most of a summary, in characters; of its lines those last met stay."""


def add_lines(known: str | None, updates: Sequence[str]) -> str:
    """The lines of a summary and of each update, each once. Batching changes nothing, as with `add_facts`.

    A line that was dropped would not fit later either: only more can have been met since.
    """
    met = [line for text in (known or "", *updates) for line in text.splitlines() if line.strip()]
    kept: list[str] = []
    left = SUMMARY_CHARS
    for line in dict.fromkeys(reversed(met)):
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join(reversed(kept))
