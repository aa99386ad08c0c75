"""What is told of a set of attacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evals.attacks.play import Played


def figures(played: Sequence[Played]) -> dict[str, Any]:
    """`{"cases", "plays", "held", "prompts", "categories": {name: {"cases", "plays", "held"}}, "misses"}`."""
    names = dict.fromkeys(one.case.category for one in played)
    return {
        **_counted(played),
        "prompts": sum(one.prompts for one in played),
        "categories": {name: _counted([one for one in played if one.case.category == name]) for name in names},
        "misses": [
            {"case": one.case.id, "category": one.case.category, "graph": one.graph, "attacks": one.case.attacks}
            | {"what": list(one.misses)}
            for one in played
            if one.misses
        ],
    }


def _counted(played: Sequence[Played]) -> dict[str, int]:
    return {
        "cases": len({one.case.id for one in played}),
        "plays": len(played),
        "held": sum(not one.misses for one in played),
    }


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """For people: each category, then each miss."""
    for name, counted in found["categories"].items():
        yield f"{name}: {counted['held']} of {counted['plays']} held ({counted['cases']} cases)"
    yield f"all: {found['held']} of {found['plays']} held ({found['cases']} cases)"
    for miss in found["misses"]:
        yield f"MISS {miss['case']} ({miss['category']}, {miss['graph']}): {miss['attacks']}"
        yield from (f"  {what}" for what in miss["what"])
