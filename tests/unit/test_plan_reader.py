from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from graph.plan import TaskResult
from services.plan_reader import FAULT_CHARS, Unreadable, read_plan


def _reply(tasks: Any, *more: dict[str, Any]) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "plan", "args": {"tasks": tasks}, "id": "p"}, *more])


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _made(name: str, *needs: str, **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": "search_documents", "args": args, "needs": list(needs)}


def test_a_task_stands_behind_all_it_needs_and_a_reference_is_a_need() -> None:
    tasks = read_plan(
        _reply([_made("c", "b", text="${a.x} and ${b}"), _made("b", query="$a"), _made("a", query="lamps")])
    )

    assert [task["id"] for task in tasks] == ["a", "b", "c"]
    assert tasks[1]["needs"] == ["a"]
    assert sorted(tasks[2]["needs"]) == ["a", "b"]
    assert tasks[2]["args"] == {"text": "${a.x} and ${b}"}


def test_args_and_needs_may_be_left_out() -> None:
    [task] = read_plan(_reply([{"id": "t1", "tool": "list_files"}]))

    assert task.items() >= {"id": "t1", "tool": "list_files", "args": {}, "needs": []}.items()


NO_TASKS = "the plan has no tasks"
BAD: list[tuple[Any, str]] = [
    (None, NO_TASKS),
    ([], NO_TASKS),
    ({"id": "t1"}, NO_TASKS),
    (["t1"], "task 1 is no object"),
    ([{"tool": "x"}], "task 1: its id must be a word"),
    ([{"id": "1", "tool": "x"}], "task 1: its id must be a word"),
    ([{"id": "a b", "tool": "x"}], "task 1: its id must be a word"),
    ([{"id": "x" * 65, "tool": "x"}], "task 1: its id must be a word"),
    ([{"id": "t1"}], "t1: tool must be the name of one"),
    ([{"id": "t1", "tool": 3}], "t1: tool must be the name of one"),
    ([{"id": "t1", "tool": "x", "args": []}], "t1: args must be an object"),
    ([{"id": "t1", "tool": "x", "args": {"a": _nested(2_000)}}], "t1: args must be an object, nested 50 levels deep"),
    ([{"id": "t1", "tool": "x", "needs": "t0"}], "t1: needs must be a list of ids"),
    ([{"id": "t1", "tool": "x", "needs": [0]}], "t1: needs must be a list of ids"),
    ([{"id": "t1", "tool": "x", "if": "sunny"}], "t1: if is no field of a task: use args, id, needs, tool"),
    ([_made("t1"), _made("t1")], "t1: several tasks have this id"),
    ([_made("t1", "t1")], "t1: needs itself"),
    ([_made("t1", query="$t1.x")], "t1: needs itself"),
    ([_made("t1", "t9")], "t1: needs 't9', which is no task of this plan"),
    ([_made("t1", query="$t9.total")], "t1: needs 't9', which is no task of this plan"),
    ([_made("t1", "0b1c:t1")], "t1: needs '0b1c:t1', which is no task of this plan"),
    ([_made("a", "b"), _made("b", "c"), _made("c", "a")], "need each other in a circle: a -> b -> c -> a"),
    ([_made(f"t{number}") for number in range(10_000)], "the plan has 10,000 tasks: 1,000 are read at most"),
]


@pytest.mark.parametrize(("tasks", "why"), BAD, ids=[why[:40] + str(at) for at, (_, why) in enumerate(BAD)])
def test_what_is_no_plan_is_told_by_the_task(tasks: Any, why: str) -> None:
    with pytest.raises(Unreadable) as unreadable:
        read_plan(_reply(tasks))

    told = str(unreadable.value)
    if "circle" in why:  # it may begin anywhere
        assert re.search(r"circle: (\w) -> \w -> \w -> \1$", told)
        why = "need each other in a circle"
    assert why in told


@pytest.mark.parametrize("ended", [{}, {"t0": TaskResult(stands="done", text="x")}])
def test_a_task_has_no_id_of_a_dropped_one_and_needs_none_of_them(ended: dict[str, TaskResult]) -> None:
    with pytest.raises(Unreadable, match="t1: an earlier task has this id, take another"):
        read_plan(_reply([_made("t1")]), ended, ["t1"])
    with pytest.raises(Unreadable, match="t2: needs 't1', which is no task of this plan"):
        read_plan(_reply([_made("t2", "t1")]), ended, ["t1"])


@pytest.mark.parametrize(
    "reply",
    [
        AIMessage("First I would search, then order."),
        AIMessage("", tool_calls=[{"name": "list_files", "args": {}, "id": "c"}]),
        _reply([_made("t1")], {"name": "plan", "args": {}, "id": "q"}),
        _reply([_made("t1")], {"name": "send_email", "args": {}, "id": "q"}),
    ],
    ids=["prose", "another tool", "two plans", "a plan and a call"],
)
def test_a_reply_that_is_not_one_plan_is_refused(reply: AIMessage) -> None:
    with pytest.raises(Unreadable, match="answer by calling plan once, and nothing else"):
        read_plan(reply)


def test_of_many_faults_the_first_are_told_and_how_many_more_there_are() -> None:
    with pytest.raises(Unreadable) as unreadable:
        read_plan(_reply([_made(f"t{number}", "gone") for number in range(30)]))

    assert len(unreadable.value.faults) == 11
    assert unreadable.value.faults[-1] == "and 20 more"


def test_a_fault_is_told_in_few_words_however_many_the_planner_wrote() -> None:
    with pytest.raises(Unreadable) as unreadable:
        read_plan(_reply([_made("t1", "gone" * 100_000)]))

    assert len(str(unreadable.value)) == FAULT_CHARS


@given(st.data())
def test_any_graph_is_put_in_order_or_has_a_circle(data: st.DataObject) -> None:
    names = [f"t{number}" for number in range(data.draw(st.integers(1, 12)))]
    needs: dict[str, Sequence[str]] = {name: data.draw(st.lists(st.sampled_from(names), max_size=3)) for name in names}
    reply = _reply([_made(name, *needs[name]) for name in names])
    if any(_reaches(needs, name, name) for name in names):
        with pytest.raises(Unreadable, match=r"in a circle|needs itself"):
            read_plan(reply)
        return

    done: set[str] = set()
    for task in read_plan(reply):
        assert set(task["needs"]) <= done
        done.add(task["id"])
    assert done == set(names)


def _reaches(needs: dict[str, Sequence[str]], start: str, goal: str) -> bool:
    seen, left = set(), list(needs[start])
    while left:
        name = left.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            left += needs[name]
    return False
