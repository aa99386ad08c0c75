from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, model_validator

from graph.budget import Left
from graph.context import Context
from graph.plan import SUBTASK, Task
from graph.state import Usage, no_usage
from services.admission import MOST_FOLLOWERS, Room, estimated, excesses
from tools.base import MARKS, Marks
from tools.registry import ToolBox


def search(query: str) -> str:
    """Look for something."""
    return query


def order(item: str, quantity: int) -> str:
    """Order something."""
    return f"{quantity} {item}"


def _marked(function: Any, max_calls: int | None = None) -> StructuredTool:
    one = StructuredTool.from_function(function)
    one.metadata = {MARKS: Marks(risk="low", untrusted_output=False, idempotent=True, max_calls=max_calls)}
    return one


@pytest.fixture
def box() -> ToolBox:
    return ToolBox([_marked(search), _marked(order, max_calls=2)])


def _search(name: str, *needs: str, query: Any = "lamps") -> Task:
    return Task(id=name, tool="search", args={"query": query}, needs=list(needs), call_id=name)


def _order(name: str, **args: Any) -> Task:
    return Task(id=name, tool="order", args={"item": "lamp", "quantity": 1, **args}, needs=[], call_id=name)


async def _said(box: ToolBox, *tasks: Task, usage: dict[str, Any] | None = None, **limits: Any) -> list[str]:
    spent: Usage = {**no_usage(), **(usage or {})}  # type: ignore[typeddict-item]  # fields of it
    left = Left(tokens=limits.pop("tokens", 100_000), usd=limits.pop("usd", 1.0), seconds=900.0)
    room = Room(usage=spent, context=Context(**limits), left=left, usd=lambda into, out: (into + 4 * out) / 1_000_000)
    return await excesses(tasks, box.assess, room)


async def test_a_plan_that_fits_has_no_excess(box: ToolBox) -> None:
    assert await _said(box, _search("a"), _search("b", "a", query="$a.x"), _order("c"), max_tool_calls=3) == []


async def test_more_calls_than_are_left_are_counted(box: ToolBox) -> None:
    tasks = [_search(f"t{number}") for number in range(5)]

    said = await _said(box, *tasks, usage={"tool_calls": 8}, max_tool_calls=10)

    assert said == ["tool calls: the plan makes 5, 2 are left: 3 too many"]


async def test_a_run_that_is_over_its_limit_already_has_none_left(box: ToolBox) -> None:
    said = await _said(box, _search("t1"), usage={"tool_calls": 12}, max_tool_calls=10)

    assert said == ["tool calls: the plan makes 1, 0 are left: 1 too many"]


async def test_what_arguments_must_be_to_each_other_is_left_until_all_are_there() -> None:
    class Days(BaseModel):
        start: str
        end: str

        @model_validator(mode="after")
        def _in_order(self) -> Days:
            if self.start > self.end:
                raise ValueError("start must be before end")
            return self

    def book(start: str, end: str) -> str:
        """Book days."""
        return f"{start}-{end}"

    one = StructuredTool.from_function(book, args_schema=Days)
    tasks = [
        Task(id=name, tool="book", args={"start": "2026", "end": end}, needs=[], call_id="c") for name, end in ENDS
    ]

    [said] = await _said(ToolBox([one]), *tasks)

    assert said.startswith("b: the arguments do not fit book: ")


ENDS = [("a", "$b.x"), ("b", "2025")]


@pytest.mark.parametrize(
    ("limits", "made", "left"), [("", 0, 2), ("order=1", 0, 1), ("order=9", 1, 1), ("order=1", 4, 0)]
)
async def test_more_calls_of_a_tool_than_it_or_the_run_allows_are_counted(
    box: ToolBox, limits: str, made: int, left: int
) -> None:
    """What an argument refers to is not there yet, and does not hide how often the tool may be called."""
    tasks = [_search("s"), _order("a", quantity="$s.n"), _order("b", quantity="$s.n"), _order("c", item="$s")]

    said = await _said(box, *tasks, usage={"by_tool": {"order": made}}, tool_limits=limits)

    assert said == [f"order: the plan makes 3 calls, {left} are left: {3 - left} too many"]


async def test_too_many_that_need_the_same_task_are_counted(box: ToolBox) -> None:
    tasks = [_search("a"), *(_search(f"t{number}", "a") for number in range(MOST_FOLLOWERS + 2))]

    said = await _said(box, *tasks, max_tool_calls=1_000)

    assert said == [f"a: {MOST_FOLLOWERS + 2} tasks need it, at most {MOST_FOLLOWERS} may: 2 too many"]


@pytest.mark.parametrize("name", ["serach", "搜索", "\u200b", ""])
async def test_an_unknown_tool_is_named_with_its_task(box: ToolBox, name: str) -> None:
    [said] = await _said(box, Task(id="t1", tool=name, args={}, needs=[], call_id="c"))

    assert said == f"t1: there is no tool {name!r}: use one of order, search"


async def test_arguments_that_can_never_fit_are_told_and_those_that_refer_are_left(box: ToolBox) -> None:
    said = await _said(box, _order("a", quantity="many", item="$b.name"), _search("b"), _order("c", colour="red"))

    assert said[0].startswith("a: quantity: ")
    assert said[1] == "c: colour: order takes no such argument"
    assert len(said) == 2


def _subtask(name: str, **args: Any) -> Task:
    return Task(id=name, tool=SUBTASK, args={"task": "find it", **args}, needs=[], call_id=name)


async def test_a_sub_task_counts_the_calls_it_may_make(box: ToolBox) -> None:
    said = await _said(box, _subtask("s", max_tool_calls=4), _search("a"), max_tool_calls=3)

    assert said == ["tool calls: the plan makes 5, 3 are left: 2 too many"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"max_iterations": 1_000}, "s: max_iterations: Input should be less than or equal to 20"),
        ({"tools": ["buy"]}, "s: tools: Extra inputs are not permitted"),
        ({"task": ""}, "s: task: String should have at least 1 character"),
    ],
)
async def test_a_sub_task_that_is_none_is_told(box: ToolBox, args: dict[str, Any], told: str) -> None:
    assert await _said(box, _subtask("s", **args)) == [told]


async def test_the_tokens_of_the_whole_plan_are_held_against_what_is_left(box: ToolBox) -> None:
    said = await _said(box, _search("a"), _search("b"), tokens=1_200)

    assert said == ["tokens: the plan takes about 1,500, 1,200 are left: 300 too many"]


async def test_the_price_of_the_whole_plan_is_held_against_what_is_left(box: ToolBox) -> None:
    said = await _said(box, _search("a"), usd=0.002)

    assert said == ["cost: the plan takes about 0.0025 USD, 0.0020 are left: 0.0005 too much"]


def test_a_task_is_estimated_by_what_it_may_take() -> None:
    def usd(prompt_tokens: int, reply_tokens: int) -> float:
        return prompt_tokens + 4.0 * reply_tokens

    assert estimated(_search("a"), usd) == {"calls": 1, "tokens": 500, "cost_usd": 500.0}
    assert estimated(_subtask("s", max_iterations=2), usd) == {"calls": 5, "tokens": 4_100, "cost_usd": 5_900.0}
