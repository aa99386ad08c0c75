"""What is at stake in a call: the tool's own tier, what its arguments make of it, and what the policy adds."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from inspect import isawaitable
from typing import Any

import psycopg

from graph.state import RISKS, Risk
from services.policy import Policy, Rule
from services.policy_rules import Seen, applying
from tools.base import CONTEXT, Lookup, Marks, RaiseRisk, RiskContext

LOOKUP_S = 5.0
"""How long a tool's own rule, or a lookup for the policy's, may take, in seconds. Then the call is critical."""

Tier = tuple[Risk, str]
"""With the reason for it, in words for a person."""


async def tier_of(tool: str, marks: Marks, args: Mapping[str, Any], policy: Policy, lookup: Lookup | None) -> Tier:
    """The highest tier that anything asks for, with all reasons for that tier.

    Nothing lowers it. What can't be told fails closed: the call is critical.
    """
    found: list[Tier] = [(marks.risk, marks.reason)]
    if marks.raise_risk:
        found += await _by_arguments(tool, marks.raise_risk, args, lookup)
    if entry := policy.tools.get(tool):
        seen = await _seen(tool, entry.rules, args, lookup)
        found += [*policy.floor(tool, marks.risk), *applying(entry.rules, args, seen)]
    return _highest(found)


def least(tool: str, own: Risk, policy: Policy) -> Risk:
    """The tier every call of the tool is at least of."""
    return _highest([(own, ""), *policy.floor(tool, own)])[0]


def _highest(found: list[Tier]) -> Tier:
    risk = max((risk for risk, _ in found), key=RISKS.index)
    return risk, "; ".join(dict.fromkeys(reason for one, reason in found if one == risk and reason))


async def _by_arguments(tool: str, rule: RaiseRisk, args: Mapping[str, Any], lookup: Lookup | None) -> list[Tier]:
    try:
        given = dict(args)
        if takes_context(rule):
            given[CONTEXT] = RiskContext(tool=tool, lookup=lookup or _Nowhere())
        answer = rule(**given)
        if isawaitable(answer):
            async with asyncio.timeout(LOOKUP_S):
                answer = await answer
        if answer is None:
            return []
        risk, reason = answer
        RISKS.index(risk)
        return [(risk, str(reason or ""))]
    except Exception as error:  # noqa: BLE001 - whatever breaks, the call is treated as the worst
        return [("critical", f"its risk could not be told ({_why(error)})")]


def takes_context(rule: RaiseRisk) -> bool:
    """Whether the rule is async and has a parameter for its `RiskContext`."""
    return inspect.iscoroutinefunction(rule) and CONTEXT in inspect.signature(rule).parameters


async def _seen(tool: str, rules: tuple[Rule, ...], args: Mapping[str, Any], lookup: Lookup | None) -> dict[str, Seen]:
    seen: dict[str, Seen] = {}
    for argument in dict.fromkeys(rule.argument for rule in rules if rule.new and args.get(rule.argument) is not None):
        try:
            async with asyncio.timeout(LOOKUP_S):
                seen[argument] = await (lookup or _Nowhere()).seen(tool, argument, args[argument])
        except Exception as error:  # noqa: BLE001 - as above
            seen[argument] = f"it could not be looked up ({_why(error)})"
    return seen


class _Nowhere:
    """The lookup of a tool box without a ledger."""

    async def seen(self, tool: str, argument: str, value: Any) -> bool:  # noqa: ARG002 - the Protocol's shape
        raise LookupError(f"there is no ledger to find {argument} in")


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {LOOKUP_S:g} s"
    if isinstance(error, psycopg.Error):  # its words may name hosts, and tell whoever approves nothing
        return type(error).__name__
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
