"""The version of the state's shape, and how older shapes become today's.

Raise STATE_VERSION and add an upgrade whenever a stored channel changes its shape. Every upgrade is given all
values read, whatever version their checkpoint names: a channel that no later step wrote keeps its old bytes
under a newer checkpoint, and writes that wait beside an old checkpoint may be newer. So an upgrade changes only
what still has the old shape, and a value whose meaning changes gets a new name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graph.errors import StateVersionUnsupported
from graph.state import no_usage

STATE_VERSION = 3
VERSION_KEY = "ballast_state"
"""Where a checkpoint's metadata holds its version. Without it: 1."""

Values = Mapping[str, Any]
Upgrade = Callable[[Values], dict[str, Any]]
"""Channel values, all or some, to the same ones in the next version's shape. Pure."""


def upgrade_usage(values: Values) -> dict[str, Any]:
    """`usage` counts more: from 2 on calls by tool, faults, strikes, repetitions; from 3 on requests to the planner.

    From 3 on there is `earlier` beside it. A state without it begins to count: nothing tells what earlier runs spent.
    """
    usage = values.get("usage")
    if not isinstance(usage, dict):
        return dict(values)
    return {**values, "usage": {**no_usage(), **usage}}


UPGRADES: Mapping[int, Upgrade] = {1: upgrade_usage, 2: upgrade_usage}
"""By the version they start from, without a gap up to STATE_VERSION."""


def check(version: object, thread_id: str, *, oldest: int = min(UPGRADES)) -> None:
    """Refuse what this code can't bring up to today's shape.

    Raises:
        StateVersionUnsupported: see above; names both versions.
    """
    if not isinstance(version, int) or not oldest <= version <= STATE_VERSION:
        raise StateVersionUnsupported(thread_id, version, oldest=oldest, newest=STATE_VERSION)


def upgraded(values: Values) -> dict[str, Any]:
    """Channel values, all or some, in today's shape."""
    for start in sorted(UPGRADES):
        values = UPGRADES[start](values)
    return dict(values)
