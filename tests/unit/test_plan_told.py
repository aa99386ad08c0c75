"""A plan's lines on a terminal, and its words on a page."""

from __future__ import annotations

import io
from typing import Any

import pytest
from langchain_core.messages import AIMessage, RemoveMessage, ToolMessage
from rich.console import Console

from app.pages.plan import MOST_DRAWN, estimate_in_words, plan_shown
from app.plan_view import TaskView, tasks_of
from app.progress import Progress
from app.show import MOST_TASKS, plan_lines
from services.cleaning import wrapped


def task(name: str, *needs: str, tool: str = "lookup", **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": tool, "args": args, "needs": list(needs), "call_id": f"call_{name}"}


def call(name: str, status: str = "ready") -> dict[str, Any]:
    return {"id": f"call_{name}", "name": "lookup", "args": {"id": name}, "status": status}


def result(text: str, stands: str = "done") -> dict[str, Any]:
    return {"result": {"stands": stands, "text": text}, "message": ToolMessage(text, tool_call_id="x")}


def told(*steps: tuple[str, Any]) -> list[list[str]]:
    out = io.StringIO()
    progress = Progress(Console(file=out, width=1_000))
    for node, change in steps:
        progress(node, change)
    return [line.split(maxsplit=1) for line in out.getvalue().splitlines()]


def views(*tasks: dict[str, Any]) -> list[TaskView]:
    return tasks_of({"tasks": list(tasks)}, ["execute"])


def test_a_plan_is_told_as_it_is_made_with_what_each_task_needs() -> None:
    tasks = [task("a", id="x"), task("b", "a")]

    assert told(("plan", {"tasks": tasks})) == [["plan", "a: lookup(id='x')"], ["plan", "b: lookup()  after a"]]


def test_of_a_second_plan_only_what_is_new_is_told_and_of_a_long_one_the_beginning() -> None:
    ended = {"results": {"a": {"stands": "done", "text": ""}}}
    assert told(("plan", {"tasks": [task("a"), task("b")], **ended})) == [["plan", "b: lookup()"]]
    assert told(("plan", {"tasks": [task("a")], **ended})) == [["plan", "nothing is left to plan"]]

    lines = told(("plan", {"tasks": [task(f"t{at}") for at in range(1_000)]}))
    assert (len(lines), lines[-1]) == (41, ["plan", "and 960 more tasks"])


def test_what_is_left_of_a_reply_whose_calls_were_folded_is_no_result_that_was_cut() -> None:
    messages = [ToolMessage("x", tool_call_id="a"), RemoveMessage("r-b"), AIMessage("", id="m")]

    lines = told(("compress_history", {"messages": messages, "summary": "one"}))

    assert [line for _, line in lines] == [
        "1 results cut to what has to do with the request",
        "1 messages folded into 1 lines of summary",
    ]


def test_what_a_second_plan_drops_is_told() -> None:
    change = {"tasks": [task("c")], "dropped": [task("a"), task("b", "a")]}

    assert told(("plan", change)) == [["plan", "c: lookup()"], ["plan", "dropped: a, b"]]


def test_a_planner_that_finds_nothing_more_leaves_the_names_of_the_tasks() -> None:
    ran = ("task", {"call": call("a"), **result("x")})

    assert told(("plan", {"tasks": [task("a")]}), ("plan", {"replans": 2}), ran)[1:] == [
        ["plan", "nothing is left to plan"],
        ["task", "a: lookup(id='a'): ok, x"],
    ]


def test_planning_that_ends_the_run_tells_why() -> None:
    assert told(("plan", {"tasks": [], "reason": "no plan was admitted"})) == [["plan", "no plan was admitted"]]


@pytest.mark.parametrize(
    ("attempt", "line"),
    [
        ({"call": call("a"), **result("first\nsecond")}, "a: lookup(id='a'): ok, first"),
        ({"call": call("b"), **result("not there", "failed")}, "lookup(id='b'): error, not there"),
        (
            {"call": call("a"), **result("12345"), "message": ToolMessage(wrapped("12345", source="x", warnings=[]),
                                                                          tool_call_id="x")},
            "a: lookup(id='a'): ok, 5 characters from outside",
        ),
        ({"call": call("a", "ask")}, "a: lookup(id='a'): waits for a person"),
        ({"call": call("a"), "stopped": ("stopped_deadline", "time: 1 s is over")}, "stopped: time: 1 s is over"),
        ({"call": call("a")}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_a_task_is_told_as_it_ends(attempt: dict[str, Any], line: str | None) -> None:
    """By its name where its plan was made in this process."""
    plan = ("plan", {"tasks": [task("a")]})

    assert told(plan, ("task", attempt))[1:] == ([["task", line]] if line else [])


def test_a_pass_tells_how_many_ended_how_and_wait() -> None:
    stands = ["done", "done", "failed", "refused"]
    change = {"results": {str(at): {"stands": one, "text": ""} for at, one in enumerate(stands)}}

    assert told(("execute", {**change, "calls": [call("a", "ask"), call("b")]})) == [
        ["execute", "2 done, 1 failed, 1 refused, 1 waiting for a person"]
    ]
    assert told(("execute", {"results": {}})) == [["execute", "nothing could run"]]
    assert told(("join", {"messages": [AIMessage("All done.\nYes.")]})) == [["join", "All done."]]


def test_a_plan_of_people_is_bounded_and_lined_up() -> None:
    lines = plan_lines([dict(one) for one in views(task("a", id="\x1b[2J" + "x" * 300), task("long-name", "a"))])

    assert lines[:2] == ["", "plan"]
    assert lines[2].startswith(r"  open  a          lookup(id='\x1b[2J")
    assert lines[2].endswith("…)")
    assert len(lines[2]) < 130
    assert lines[3] == "  open  long-name  lookup()  after a"
    assert plan_lines([]) == []

    many = plan_lines([dict(one) for one in views(*(task(f"t{at}") for at in range(MOST_TASKS + 5)))])
    assert many[-1] == "  and 5 more: --json has all"
    assert len(many) == MOST_TASKS + 3


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        ({"calls": 1, "tokens": 500, "cost_usd": 0.0}, "1 call, ~500 tokens"),
        ({"calls": 5, "tokens": 12_000, "cost_usd": 0.03}, "5 calls, ~12,000 tokens, $0.0300"),
        (None, ""),
        ({"calls": 1}, ""),
        ({"calls": "x", "tokens": 1, "cost_usd": 1}, ""),
        ({"calls": float("inf"), "tokens": 1, "cost_usd": 1}, ""),
    ],
)
def test_an_estimate_in_words(estimate: Any, words: str) -> None:
    assert estimate_in_words(estimate) == words


def test_a_plan_is_drawn_as_far_as_it_can_be_looked_at() -> None:
    tasks = views(*(task(f"t{at}", *([f"t{at - 1}"] if at else [])) for at in range(MOST_DRAWN + 1)))

    small, large = plan_shown(tasks[:-1], [], first=""), plan_shown(tasks, [], first="")

    assert small
    assert large
    assert small.drawing
    assert len(small.boxes) == len(small.tasks) == MOST_DRAWN
    assert (large.drawing, large.boxes, large.total) == (None, [], MOST_DRAWN + 1)
    assert plan_shown([], [], first="") is None


@pytest.mark.parametrize(
    ("name", "cut"),
    [("short", "short"), ("x" * 19, "x" * 19), ("x" * 20, "x" * 18 + "…"), ("日" * 10, "日" * 8 + "…"), ("", "")],
)
def test_a_name_is_cut_to_its_box(name: str, cut: str) -> None:
    shown = plan_shown(views(task(name)), [], first="")

    assert shown
    assert shown.boxes[0].name == cut
    assert shown.boxes[0].title.startswith(name)
