"""The tier of a call: declared, raised by its arguments, tightened by a policy; never lowered, and failing closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import BadSetting
from graph.state import RISKS, Risk
from services.policy import Policy
from tools import tiers
from tools.base import MARKS, Lookup, RiskContext, marks_of, tool
from tools.registry import ToolBox

Raised = tuple[Risk, str] | None


class Memory:
    """A lookup that knows these values, or breaks."""

    def __init__(self, *known: Any, error: Exception | None = None) -> None:
        self._known, self._error = known, error
        self.asked: list[tuple[str, str, Any]] = []

    async def seen(self, tool: str, argument: str, value: Any) -> bool:
        self.asked.append((tool, argument, value))
        if self._error:
            raise self._error
        return value in self._known


@tool(risk="medium", untrusted_output=False, idempotent=False, reason="declared")
async def act(count: int = 1, to: str = "", tags: list[str] | None = None) -> str:
    """Act."""
    return f"{count} {to} {tags}"


def _box(policy: dict[str, Any] | None = None, *, risk: Risk = "medium", raise_risk: Any = None) -> ToolBox:
    marks = replace(marks_of(act), risk=risk, raise_risk=raise_risk)
    marked = act.model_copy(update={"metadata": {MARKS: marks}})
    return ToolBox([marked], Policy.model_validate({"tools": {"act": policy}} if policy else {}))


def _rules(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"raise": list(rules)}


MANY = {"argument": "count", "above": 5, "risk": "high", "reason": "many"}
NEW = {"argument": "to", "new": True, "risk": "high", "reason": "never seen"}
HUGE = {"argument": "count", "above": 50, "risk": "critical", "reason": "huge"}


@pytest.mark.parametrize(
    ("policy", "args", "tier"),
    [
        (None, {"count": 9}, ("medium", "declared")),
        ({}, {"count": 9}, ("medium", "declared")),
        ({"risk": "high"}, {}, ("high", "the policy makes it high")),
        ({"risk": "high", "reason": "because"}, {}, ("high", "because")),
        ({"risk": "medium", "reason": "because"}, {}, ("medium", "declared; because")),
        ({"reason": "because"}, {}, ("medium", "declared; because")),
        ({"four_eyes": True}, {}, ("high", "a second person must agree")),
        ({"four_eyes": True, "risk": "critical"}, {}, ("critical", "the policy makes it critical")),
        (_rules(MANY), {"count": 5}, ("medium", "declared")),
        (_rules(MANY), {"count": "6"}, ("high", "many")),
        (_rules(MANY, HUGE), {"count": 51}, ("critical", "huge")),
        (_rules(MANY, NEW), {"count": 6, "to": "ann"}, ("high", "many; never seen")),
        (_rules(NEW, NEW), {"to": "ann"}, ("high", "never seen")),
        (_rules(NEW), {"to": "bob"}, ("medium", "declared")),
        (_rules({**MANY, "risk": "medium"}), {"count": 6}, ("medium", "declared; many")),
        ({"risk": "critical", **_rules(MANY)}, {"count": 6}, ("critical", "the policy makes it critical")),
    ],
)
async def test_the_highest_tier_wins_with_all_reasons_for_it(
    policy: dict[str, Any] | None, args: dict[str, Any], tier: tuple[str, str]
) -> None:
    assessed = await _box(policy).assess("act", args, lookup=Memory("bob"))

    assert (assessed.risk, assessed.reason, assessed.error) == (*tier, None)


async def test_a_rule_sees_the_default_of_an_argument_that_is_left_out() -> None:
    rule = {"argument": "tags", "more_than": 3, "risk": "high"}

    assessed = await _box(_rules(rule)).assess("act", {})

    assert assessed.risk == "critical"
    assert assessed.reason == "the policy's rule on tags can't be checked: it is not given"


async def test_only_what_a_rule_asks_for_is_looked_up_and_once() -> None:
    memory = Memory()

    await _box(_rules(NEW, NEW, MANY)).assess("act", {"to": "ann"}, lookup=memory)
    await _box(_rules(MANY)).assess("act", {"to": "ann"}, lookup=memory)
    await _box().assess("act", {"to": "ann"}, lookup=memory)

    assert memory.asked == [("act", "to", "ann")]


async def _never_seen(to: str, context: RiskContext, **_others: object) -> Raised:
    return None if await context.seen("to", to) else ("high", "first mail to them")


@pytest.mark.parametrize(("to", "risk"), [("ann", "high"), ("bob", "medium")])
async def test_an_async_rule_of_a_tool_may_look_up_what_was_done_before(to: str, risk: Risk) -> None:
    memory = Memory("bob")

    assessed = await _box(raise_risk=_never_seen).assess("act", {"to": to}, lookup=memory)

    assert (assessed.risk, memory.asked) == (risk, [("act", "to", to)])


async def _plain(count: int, **_others: object) -> Raised:
    return ("high", "counted") if count > 5 else None


async def test_an_async_rule_needs_no_context() -> None:
    assert (await _box(raise_risk=_plain).assess("act", {"count": 6})).reason == "counted"


async def test_a_tools_own_argument_called_context_is_its_own() -> None:
    def rule(context: str) -> Raised:
        return ("high", context)

    @tool(risk="medium", untrusted_output=False, idempotent=False, raise_risk=rule)
    async def note(context: str) -> str:
        """Note."""
        return context

    assert (await ToolBox([note]).assess("note", {"context": "mine"})).reason == "mine"


async def _raises(**_args: object) -> Raised:
    raise KeyError("gone")


async def _answers_nonsense(**_args: object) -> Raised:
    return cast("Raised", ("enormous", "x"))


@pytest.mark.parametrize("rule", [_raises, _answers_nonsense])
async def test_an_async_rule_that_breaks_makes_the_call_critical(rule: Callable[..., Any]) -> None:
    assessed = await _box(raise_risk=rule).assess("act", {})

    assert assessed.risk == "critical"
    assert assessed.reason.startswith("its risk could not be told (")


BROKEN: list[tuple[Lookup | None, str]] = [
    (Memory(error=RuntimeError("no\nsuch luck")), "(RuntimeError: no such luck)"),
    (Memory(error=psycopg.OperationalError("connection to 10.0.0.9 failed")), "(OperationalError)"),
    (Memory(error=TimeoutError()), "(no answer within 5 s)"),
    (None, "(LookupError: there is no ledger to find to in)"),
]


@pytest.mark.parametrize(("lookup", "why"), BROKEN)
async def test_a_lookup_that_fails_makes_the_call_critical_and_says_so(lookup: Lookup | None, why: str) -> None:
    by_policy = await _box(_rules(NEW)).assess("act", {"to": "ann"}, lookup=lookup)
    by_tool = await _box(raise_risk=_never_seen).assess("act", {"to": "ann"}, lookup=lookup)

    assert (by_policy.risk, by_tool.risk) == ("critical", "critical")
    assert by_policy.reason == f"the policy's rule on to can't be checked: it could not be looked up {why}"
    assert by_tool.reason == f"its risk could not be told {why}"


class Silent(Memory):
    async def seen(self, tool: str, argument: str, value: Any) -> bool:
        await asyncio.Event().wait()
        return await super().seen(tool, argument, value)


@pytest.mark.parametrize("box", [_box(_rules(NEW)), _box(raise_risk=_never_seen)])
async def test_a_lookup_that_never_answers_is_not_waited_for(box: ToolBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "LOOKUP_S", 0.01)

    assessed = await box.assess("act", {"to": "ann"}, lookup=Silent())

    assert assessed.risk == "critical"
    assert "no answer within 0.01 s" in assessed.reason


async def test_what_is_not_raised_is_assessed_without_waiting_for_anything() -> None:
    """A read costs no round trip and no task: its coroutine ends at the first step."""
    running = _box(risk="low").assess("act", {}, lookup=Silent())

    with pytest.raises(StopIteration) as ended:
        running.send(None)

    assert ended.value.value.risk == "low"


TIERS = st.sampled_from(RISKS)


def _as_rule(condition: tuple[str, str, Any], risk: Risk) -> dict[str, Any]:
    argument, kind, value = condition
    return {"argument": argument, kind: value, "risk": risk}


ARGUMENTS = st.sampled_from(["count", "to", "tags"])
NUMBERS = st.integers(-10, 10)
CONDITIONS = st.one_of(
    st.tuples(ARGUMENTS, st.just("above"), st.one_of(NUMBERS, st.floats(-10, 10))),
    st.tuples(ARGUMENTS, st.just("more_than"), st.integers(0, 5)),
    st.tuples(ARGUMENTS, st.just("new"), st.just(True)),  # noqa: FBT003 - the file's own value
)
RULES = st.lists(st.builds(_as_rule, CONDITIONS, TIERS), max_size=5)
CALLS = st.fixed_dictionaries(
    {},
    optional={"count": NUMBERS, "to": st.sampled_from(["", "a@x", "a@x, b@x", "x"]), "tags": st.lists(st.text())},
)
MEMORIES = st.sampled_from([Memory(), Memory("a@x", "x", 1), Memory(error=RuntimeError("away")), None])
OWN_RULES = st.one_of(st.none(), st.tuples(TIERS, st.text(max_size=3)))


POLICIES = st.fixed_dictionaries({"risk": st.one_of(st.none(), TIERS), "four_eyes": st.booleans(), "raise": RULES})


@settings(deadline=None)  # the machine may be busy
@given(own=TIERS, raised=OWN_RULES, policy=POLICIES, args=CALLS, lookup=MEMORIES)
async def test_a_policy_never_lowers_a_tier_whatever_its_rules(
    own: Risk, raised: Raised, policy: dict[str, Any], args: dict[str, Any], lookup: Memory | None
) -> None:
    def by_tool(**_args: object) -> Raised:
        return raised

    async def tier(policy: dict[str, Any] | None) -> int:
        assessed = await _box(policy, risk=own, raise_risk=by_tool).assess("act", args, lookup=lookup)
        return RISKS.index(assessed.risk)

    rules, least = policy["raise"], policy["risk"] or own
    if any(RISKS.index(one) < RISKS.index(own) for one in [least, *(rule["risk"] for rule in rules)]):
        with pytest.raises(BadSetting, match="would loosen act"):
            await tier(policy)
        return

    reached = await tier(policy)

    assert reached >= max(RISKS.index(least), await tier(None))
    for left_out in range(len(rules)):
        assert reached >= await tier({**policy, "raise": rules[:left_out] + rules[left_out + 1 :]})
