"""What of results stays known as trusted, for the arguments of later calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own has no schema before Python 3.12

KEPT = 200
"""Most origins of a kind from one tool; the ones last met stay."""


class Origin(TypedDict):
    """A value of a result that later arguments may come from."""

    kind: Literal["record", "field", "taken"]
    """`record`: an id that an effect of ours made, or that was the one hit of a lookup by trusted words. `field`: of a
    field that nobody outside writes. `taken`: of such a record, where a person said to take that field from it."""
    tool: str
    text: str
    argument: NotRequired[str]
    """The field's name, of what is taken."""


class Wanted(TypedDict):
    """Which calls a request asks for, read from it before anything else could have a say."""

    request: str
    """Id of the message."""
    calls: dict[str, int]
    """How many of each tool."""
    answered: NotRequired[bool]
    """A run has ended since, and this one began without a word of a person's."""
    rejected: NotRequired[bool]
    """A person rejected a call since: something may be trying for what nobody wants, so each further one asks."""


def add_origins(known: list[Origin] | None, updates: Sequence[Any]) -> list[Origin]:
    """The union; of each kind and tool the last KEPT distinct ones stay. Batching changes nothing (`DeltaChannel`)."""
    merged: dict[tuple[str, ...], Origin] = {}
    for one in [*(known or []), *(origin for update in updates for origin in update)]:
        key = (one["kind"], one["tool"], one.get("argument", ""), one["text"])
        merged.pop(key, None)
        merged[key] = one
    counts: dict[tuple[str, str], int] = {}
    kept: list[Origin] = []
    for one in reversed(merged.values()):
        of = (one["kind"], one["tool"])
        counts[of] = counts.get(of, 0) + 1
        if counts[of] <= KEPT:
            kept.append(one)
    return kept[::-1]
