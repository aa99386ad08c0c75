"""The tool box: what fits a tool, what is at stake, and which calls are the same intent."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.tools import tool as plain_tool
from pydantic import BaseModel, field_validator

from graph.errors import BadSetting
from graph.state import Risk
from tools import office
from tools.arguments import MAX_DEPTH
from tools.base import Marks, marks_of, tool
from tools.registry import PER_HOST, ToolBox


class Colour(enum.Enum):
    RED = "red"


class Size(BaseModel):
    width: int


@plain_tool
def anything(value: Any) -> str:
    """Take anything."""
    return str(value)


@plain_tool
def paint(colour: Colour, size: Size, day: date, price: Decimal, tags: set[str]) -> str:
    """Paint something."""
    return f"{colour.name} {size.width} {day:%d.%m.} {price:.2f} {sorted(tags)}"


def _raised_by(rule: Callable[..., Any], risk: Risk = "medium") -> ToolBox:
    @tool(risk=risk, untrusted_output=False, idempotent=False, reason="declared", raise_risk=rule)
    async def act(count: int) -> str:
        """Act."""
        return str(count)

    return ToolBox([act])


def test_the_built_in_tools_have_the_tiers_of_the_design() -> None:
    tiers: dict[str, set[str]] = {}
    for row in office.toolbox().listing():
        tiers.setdefault(row["risk"], set()).add(row["name"])

    assert tiers == {
        "low": {
            "list_files", "read_file", "search_documents", "list_mail", "read_mail", "fetch_url", "get_order",
            "open_result",
        },
        "medium": {"send_email", "write_file"},
        "high": {"place_order", "pay_invoice"},
        "critical": {"delete_records", "send_bulk_email"},
    }  # fmt: skip


def test_all_text_from_outside_is_marked_untrusted() -> None:
    untrusted = {row["name"] for row in office.toolbox().listing() if row["untrusted_output"]}

    assert untrusted == {
        "list_files",
        "read_file",
        "search_documents",
        "list_mail",
        "read_mail",
        "fetch_url",
        "open_result",
    }


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("launch", {"at": 1}, "there is no tool 'launch': use one of anything, paint"),
        ("anything", {"value": 1, "more": 2, "extra": 3}, "anything takes no extra, more: it takes value"),
        ("anything", {}, "value: Field required"),
        ("paint", {"size": {"width": "wide"}}, "size.width: Input should be a valid integer"),
        ("anything", {"value": float("nan")}, "ValueError"),
        ("anything", {"value": [float("inf")]}, "ValueError"),
        ("anything", {"value": {(1, 2): 3}}, "TypeError"),
    ],
)
async def test_a_call_that_does_not_fit_is_refused_with_the_reason_as_the_highest_tier(
    name: str, args: dict[str, Any], said: str
) -> None:
    assessed = await ToolBox([anything, paint]).assess(name, args)

    assert said in (assessed.error or "")
    assert (assessed.risk, assessed.args) == ("critical", args)


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [MAX_DEPTH, 5_000, 100_000])
async def test_arguments_nested_too_deep_to_hash_are_refused(levels: int) -> None:
    box = ToolBox([anything])

    assert (await box.assess("anything", {"value": _nested(levels)})).error
    assert (await box.assess("anything", {"value": _nested(MAX_DEPTH - 2)})).error is None


async def test_a_validator_that_breaks_refuses_the_call() -> None:
    class Strange(BaseModel):
        value: int

        @field_validator("value")
        @classmethod
        def _break(cls, value: int) -> int:
            raise RuntimeError(f"broken rule for {value}")

    strange = StructuredTool.from_function(func=anything.func, name="strange", description="x", args_schema=Strange)  # type: ignore[attr-defined]

    assert "RuntimeError: broken rule" in ((await ToolBox([strange]).assess("strange", {"value": 1})).error or "")


async def test_arguments_are_coerced_to_json_that_the_tool_takes_back() -> None:
    given = {"colour": "red", "size": {"width": "2"}, "day": "2026-10-05", "price": "2.50", "tags": ["a", "a"]}

    assessed = await ToolBox([paint]).assess("paint", given)

    assert assessed.args == {
        "colour": "red", "size": {"width": 2}, "day": "2026-10-05", "price": 2.5, "tags": ["a"],
    }  # fmt: skip
    assert await paint.ainvoke(assessed.args) == "RED 2 05.10. 2.50 ['a']"


async def test_strings_are_coerced_to_numbers_and_defaults_filled_in() -> None:
    @plain_tool
    def book(people: int, hours: float = 1.5, *, urgent: bool = False) -> str:
        """Book."""
        return f"{people} {hours} {urgent}"

    assert (await ToolBox([book]).assess("book", {"people": "2", "urgent": "true"})).args == {
        "people": 2, "hours": 1.5, "urgent": True,
    }  # fmt: skip


async def test_a_tool_without_marks_is_high_risk_untrusted_and_not_repeatable() -> None:
    assessed = await ToolBox([anything]).assess("anything", {"value": 1})

    assert (assessed.risk, assessed.reason) == ("high", "the tool declares no risk tier")
    marks = marks_of(anything)
    assert (marks.untrusted_output, marks.idempotent, marks.effect) == (True, False, True)


def test_marks_of_the_wrong_kind_count_as_none() -> None:
    marked = StructuredTool.from_function(func=anything.func, name="x", description="x", metadata={"ballast": "low"})  # type: ignore[attr-defined]

    assert marks_of(marked) == Marks()


def test_a_tier_that_does_not_exist_is_refused_where_it_is_declared() -> None:
    with pytest.raises(BadSetting, match="no risk tier 'harmless'"):
        Marks(risk="harmless")  # type: ignore[arg-type]


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(BadSetting, match="two tools are called anything"):
        ToolBox([anything, paint, anything])


def test_a_tool_described_by_a_bare_schema_is_refused() -> None:
    bare = StructuredTool(name="bare", description="x", args_schema={"type": "object", "properties": {}}, func=str)

    with pytest.raises(BadSetting, match="tool bare has no pydantic schema"):
        ToolBox([bare])


def _rule(answer: Any) -> Callable[..., Any]:
    return lambda **_args: answer


@pytest.mark.parametrize(
    ("answer", "declared", "risk", "reason"),
    [
        (None, "medium", "medium", "declared"),
        (("high", "many"), "medium", "high", "many"),
        (("critical", "all"), "low", "critical", "all"),
        (("medium", "same"), "medium", "medium", "declared; same"),
        (("medium", "declared"), "medium", "medium", "declared"),
        (("low", "harmless"), "high", "high", "declared"),
    ],
)
async def test_arguments_may_raise_the_tier_but_never_lower_it(
    answer: Any, declared: Risk, risk: str, reason: str
) -> None:
    assessed = await _raised_by(_rule(answer), declared).assess("act", {"count": 1})

    assert (assessed.risk, assessed.reason) == (risk, reason)


def _broken(**_args: Any) -> None:
    raise KeyError("gone")


def _of_other_arguments(wrong: int) -> None:
    del wrong


@pytest.mark.parametrize("rule", [_broken, _rule(("enormous", "x")), _rule("high"), _rule(7), _of_other_arguments])
async def test_a_rule_that_breaks_makes_the_call_critical(rule: Callable[..., Any]) -> None:
    assessed = await _raised_by(rule).assess("act", {"count": 1})

    assert (assessed.risk, assessed.error) == ("critical", None)
    assert assessed.reason.startswith("its risk could not be told")


async def test_a_rule_sees_the_coerced_arguments() -> None:
    def rule(count: int) -> tuple[Risk, str] | None:
        return ("high", "many") if count > 5 else None

    assert (await _raised_by(rule).assess("act", {"count": "6"})).risk == "high"


BOX = ToolBox([anything])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"value": 1, "b": 2}, {"b": 2, "value": 1}),
        ({"value": {"x": 1, "y": 2}}, {"value": {"y": 2, "x": 1}}),
        ({"value": 1}, {"value": 1.0}),
        ({"value": [0, 10**20]}, {"value": [-0.0, 1e20]}),
        ({"value": "Caf\u00e9"}, {"value": "Cafe\u0301"}),
        ({"value": {"Caf\u00e9": 1}}, {"value": {"Cafe\u0301": 1}}),
    ],
)
def test_two_spellings_of_a_call_are_one_intent(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert BOX.intent("anything", one) == BOX.intent("anything", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"value": 1}, {"value": "1"}),
        ({"value": 1}, {"value": True}),
        ({"value": None}, {"value": ""}),
        ({"value": [1, 2]}, {"value": [2, 1]}),
        ({"value": 1.5}, {"value": 1}),
        ({"value": "\ud800"}, {"value": "\\ud800"}),
    ],
)
def test_two_different_calls_are_two_intents(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert BOX.intent("anything", one) != BOX.intent("anything", other)


def test_the_intent_tells_tools_apart_and_a_read_has_none() -> None:
    box = office.toolbox()

    assert box.intent("read_file", {"path": "a"}) is None
    assert box.intent("unknown", {"path": "a"}) != box.intent("write_file", {"path": "a"})


def test_the_box_offers_its_tools_in_order_and_gives_them_by_name() -> None:
    box = ToolBox([paint, anything])
    offered: list[BaseTool] = list(box.offered())

    assert offered == [paint, anything]
    assert (box.get("paint"), box.get("gone"), box.wants_context("paint")) == (paint, None, False)
    assert asyncio.iscoroutinefunction(office.toolbox().get("read_file").coroutine)  # type: ignore[union-attr]


def test_what_shares_a_tool_or_a_host_is_bounded_together() -> None:
    box = office.toolbox()

    assert box.bounds("fetch_url", {"url": "https://Example.org:8443/a?b"}) == {"host:example.org": PER_HOST}
    assert box.bounds("read_file", {"path": "notes.txt"}) == {}
    assert box.bounds("gone", {}) == {}


@pytest.mark.parametrize("args", [{}, {"url": "http://a:b"}])
def test_a_host_that_can_not_be_told_counts_as_one(args: dict[str, Any]) -> None:
    assert office.toolbox().bounds("fetch_url", args) == {"host:of fetch_url": PER_HOST}


def test_a_tool_bounds_its_own_calls_and_never_to_none() -> None:
    @tool(risk="low", untrusted_output=False, idempotent=True, at_once=3)
    def narrow(value: str) -> str:
        """Return it.

        Args:
            value: What.
        """
        return value

    assert ToolBox([narrow]).bounds("narrow", {"value": "x"}) == {"tool:narrow": 3}
    with pytest.raises(BadSetting, match="at_once is 1 or more, not 0"):
        Marks(at_once=0)
