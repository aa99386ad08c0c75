"""The rules of a policy, as tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from services.policy import Rule
from services.policy_rules import applying


def _rule(**condition: Any) -> Rule:
    return Rule(argument="x", risk="high", reason="told", **condition)


APPLIES = [("high", "told")]


@pytest.mark.parametrize(
    ("value", "applies"),
    [
        (1001, True),
        (1000, False),
        (1000.01, True),
        (-5000, False),
        ("1000.000000000000000000001", True),
        ("1000.00", False),
        (" 2e3 ", True),
        (Decimal("1000.01"), True),
        (10**400, True),
        ("1e99999", True),
        (1e308, True),
    ],
)
def test_above_compares_numbers_however_they_are_written(value: Any, applies: bool) -> None:  # noqa: FBT001 - a table
    assert applying([_rule(above=1000)], {"x": value}, {}) == (APPLIES if applies else [])


def test_a_limit_is_the_number_that_was_written() -> None:
    assert applying([_rule(above=0.1)], {"x": 0.1}, {}) == []
    assert applying([_rule(above=0.1)], {"x": "0.1000000000000000001"}, {}) == APPLIES


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ([], 0),
        (["a@x.example", "b@x.example"], 2),
        ([1, 2, {"y": 3}], 3),
        (("a", "b"), 2),
        (["a@x.example, b@x.example", "c@x.example"], 3),
        ("a@x.example", 1),
        ("a@x.example, B <b@x.example>,c@x.example", 3),
        ('"Last, First" <a@x.example>', 1),
        ("all: a@x.example, b@x.example;", 2),
        ("a@x.example (b@x.example)", 2),
        ('"b@x.example, c@x.example" <a@x.example>', 3),
    ],
)
def test_more_than_counts_entries_and_mail_addresses(value: Any, count: int) -> None:
    assert applying([_rule(more_than=count)], {"x": value}, {}) == []
    if count:
        assert applying([_rule(more_than=count - 1)], {"x": value}, {}) == APPLIES


@pytest.mark.parametrize(("seen", "applies"), [(True, False), (False, True)])
def test_new_applies_to_what_was_never_seen(seen: bool, applies: bool) -> None:  # noqa: FBT001 - a table
    assert applying([_rule(new=True)], {"x": "v"}, {"x": seen}) == (APPLIES if applies else [])


@pytest.mark.parametrize(
    ("condition", "args", "seen", "why"),
    [
        ({"above": 1}, {}, {}, "it is not given"),
        ({"above": 1}, {"x": None}, {}, "it is not given"),
        ({"above": 1}, {"x": "many"}, {}, "it is no number"),
        ({"above": 1}, {"x": ""}, {}, "it is no number"),
        ({"above": 1}, {"x": "1,000"}, {}, "it is no number"),
        ({"above": 1}, {"x": True}, {}, "it is no number"),
        ({"above": 1}, {"x": [2]}, {}, "it is no number"),
        ({"above": 1}, {"x": 10**5000}, {}, "it is no number"),
        ({"above": 1}, {"x": "NaN"}, {}, "it is no finite number"),
        ({"above": 1}, {"x": "-Infinity"}, {}, "it is no finite number"),
        ({"more_than": 1}, {}, {}, "it is not given"),
        ({"more_than": 1}, {"x": 7}, {}, "it is neither a list nor mail addresses"),
        ({"more_than": 1}, {"x": {"a": 1}}, {}, "it is neither a list nor mail addresses"),
        ({"more_than": 1}, {"x": ""}, {}, "its mail addresses can't be counted"),
        ({"more_than": 1}, {"x": "everyone"}, {}, "its mail addresses can't be counted"),
        ({"more_than": 1}, {"x": "a@x.example; b@x.example"}, {}, "its mail addresses can't be counted"),
        ({"more_than": 1}, {"x": "a@x.example,,b@x.example"}, {}, "its mail addresses can't be counted"),
        ({"new": True}, {}, {}, "it is not given"),
        ({"new": True}, {"x": "v"}, {}, "it was not looked up"),
        ({"new": True}, {"x": "v"}, {"x": "the database is away"}, "the database is away"),
    ],
)
def test_a_rule_that_can_not_be_evaluated_makes_the_call_critical(
    condition: dict[str, Any], args: dict[str, Any], seen: dict[str, Any], why: str
) -> None:
    [(risk, reason)] = applying([_rule(**condition)], args, seen)

    assert (risk, reason) == ("critical", f"the policy's rule on x can't be checked: {why}")


def test_each_rule_that_applies_is_told_in_its_own_words_when_it_has_no_reason() -> None:
    rules = [
        Rule(argument="amount", above=1000, risk="critical"),
        Rule(argument="to", more_than=3, risk="high"),
        Rule(argument="iban", new=True, risk="high"),
        Rule(argument="amount", above=5000, risk="critical", reason="never"),
    ]

    found = applying(rules, {"amount": 2000, "to": list("abcd"), "iban": "DE1"}, {"iban": False})

    assert found == [
        ("critical", "amount is above 1000"),
        ("high", "to names more than 3"),
        ("high", "iban was never used before"),
    ]
