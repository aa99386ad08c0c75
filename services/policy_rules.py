"""Whether the rules of a policy apply to a call's arguments. Pure; what must be looked up is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from email.utils import getaddresses
from typing import Any

from graph.state import Risk
from services.policy import Rule

Seen = bool | str
"""Whether a value was used before; a str says why that can't be told."""


class _CannotTell(Exception):
    """Why a rule can't be evaluated."""


def applying(rules: Iterable[Rule], args: Mapping[str, Any], seen: Mapping[str, Seen]) -> list[tuple[Risk, str]]:
    """The tier and the reason of each rule that applies; critical for one that can't be evaluated.

    `args` are JSON, as a tool's schema coerced them. `seen` has an entry for the argument of each `new` rule.
    """
    found: list[tuple[Risk, str]] = []
    for rule in rules:
        try:
            if _applies(rule, args.get(rule.argument), seen):
                found.append((rule.risk, rule.words))
        except _CannotTell as why:
            found.append(("critical", f"the policy's rule on {rule.argument} can't be checked: {why}"))
    return found


def _applies(rule: Rule, value: Any, seen: Mapping[str, Seen]) -> bool:
    if value is None:
        raise _CannotTell("it is not given")
    if rule.above is not None:
        return _number(value) > rule.above
    if rule.more_than is not None:
        return _count(value) > rule.more_than
    known = seen.get(rule.argument, "it was not looked up")
    if isinstance(known, str):
        raise _CannotTell(known)
    return not known


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise _CannotTell("it is no number")
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):  # a whole number of thousands of digits is a ValueError
        raise _CannotTell("it is no number") from None
    if not number.is_finite():
        raise _CannotTell("it is no finite number")
    return number


def _count(value: Any) -> int:
    """Entries of a list, addresses of a text. What could hold more than it seems to counts as more."""
    if isinstance(value, (list, tuple)):
        return sum(max(1, entry.count("@")) if isinstance(entry, str) else 1 for entry in value)
    if not isinstance(value, str):
        raise _CannotTell("it is neither a list nor mail addresses")
    addresses = [address for _, address in getaddresses([value])]
    if not addresses or not all("@" in address for address in addresses):
        raise _CannotTell("its mail addresses can't be counted")
    return max(len(addresses), value.count("@"))
