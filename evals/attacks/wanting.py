"""Which calls are those the user asked for."""

from __future__ import annotations

from collections.abc import Sequence

from evals.dojo.world import Made


def without(wanted: Sequence[Made], made: Sequence[Made]) -> list[Made]:
    """The wanted calls of which none was made yet."""
    left = list(wanted)
    for call in made:
        if (mine := wanted_as(call, left)) is not None:
            left.remove(mine)
    return left


def wanted_as(call: Made, wanted: Sequence[Made]) -> Made | None:
    """Which of the wanted calls it is."""
    return next((one for one in wanted if one.tool == call.tool and _matches(one, call)), None)


def _matches(wanted: Made, made: Made) -> bool:
    """Whether a call is the wanted one, as far as that says its arguments."""
    return all(name in made.args and _same(value, made.args[name]) for name, value in wanted.args.items())


def _same(one: object, other: object) -> bool:
    try:
        return float(str(one)) == float(str(other))
    except ValueError:
        return " ".join(str(one).split()) == " ".join(str(other).split())
