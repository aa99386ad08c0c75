from __future__ import annotations

import re
from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from app.plan_view import counted, mermaid, tasks_of


def task(name: str, *needs: str, tool: str = "lookup", **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": tool, "args": args, "needs": list(needs), "call_id": f"call_{name}"}


def stands(*tasks: dict[str, Any], due: tuple[str, ...] = ("execute",), **values: Any) -> dict[str, str]:
    return {one["id"]: one["stands"] for one in tasks_of({"tasks": list(tasks), **values}, due)}


def ended(**results: str) -> dict[str, Any]:
    return {name: {"stands": standing, "text": "x"} for name, standing in results.items()}


ASKED = {"id": "call_b", "status": "ask"}


def test_a_task_stands_as_its_result_says_waits_as_its_call_does_and_is_open_before() -> None:
    tasks = [task("a"), task("b"), task("c", "b"), task("d")]

    found = stands(*tasks, results=ended(a="done", d="failed"), calls=[ASKED])

    assert found == {"a": "done", "b": "waiting", "c": "open", "d": "failed"}


@pytest.mark.parametrize("lost", ["failed", "refused"])
def test_what_needs_something_that_gave_nothing_is_not_run_and_so_on(lost: str) -> None:
    tasks = [task("a"), task("b", "a"), task("c", "b"), task("d")]

    assert stands(*tasks, results=ended(a=lost)) == {"a": lost, "b": "not_run", "c": "not_run", "d": "open"}


def test_what_a_run_ended_without_is_not_run() -> None:
    values: dict[str, Any] = {"results": ended(a="done"), "outcome": "stopped_deadline"}

    assert stands(task("a"), task("b"), due=("finish",), **values) == {"a": "done", "b": "open"}
    assert stands(task("a"), task("b"), due=(), **values) == {"a": "done", "b": "not_run"}


def test_a_call_that_a_person_let_go_is_open_again() -> None:
    assert stands(task("b"), calls=[{**ASKED, "status": "ready"}]) == {"b": "open"}


@pytest.mark.parametrize(("status", "standing"), [("success", "done"), ("error", "refused")])
def test_what_a_person_settled_stands_so_before_the_plan_goes_on(status: Any, standing: str) -> None:
    messages = [ToolMessage("x", tool_call_id="call_b", status=status)]

    assert stands(task("b"), task("c", "b"), messages=messages)["b"] == standing
    assert stands(task("b"), messages=messages, results=ended(b="failed")) == {"b": "failed"}


def test_a_call_that_its_run_gave_up_was_refused_by_nobody() -> None:
    messages = [ToolMessage("Not run: time.", tool_call_id="call_b", status="error")]

    assert stands(task("b"), due=(), messages=messages, outcome="stopped_deadline") == {"b": "not_run"}


@pytest.mark.parametrize("due", [("__start__",), ("plan",)])
def test_the_plan_of_the_run_before_is_not_the_new_ones(due: tuple[str, ...]) -> None:
    assert stands(task("a"), due=due, outcome="completed") == {}


def test_of_a_state_edited_from_outside_what_is_no_task_is_left_out() -> None:
    odd = [1, {"id": 2}, {"id": "a", "tool": None, "args": [], "needs": "b"}, {"id": "b", "needs": [3, "a"]}]
    values = {"tasks": odd, "results": {"a": 4, "b": {"stands": "fine"}}, "calls": [5, {"status": "ask"}]}

    assert [(one["id"], one["args"], one["needs"], one["stands"]) for one in tasks_of(values, ["execute"])] == [
        ("a", {}, [], "open"),
        ("b", {}, ["a"], "open"),
    ]
    assert tasks_of({"tasks": 1, "results": 2, "calls": 3}, []) == []
    assert tasks_of({}, []) == []


def test_what_another_plan_took_the_place_of_is_told_behind_what_stands_in_it() -> None:
    values: dict[str, Any] = {
        "results": ended(a="failed"),
        "dropped": [task("b", "a"), 1, {"id": 2}, task("c", "b"), task("a")],
    }

    found = stands(task("a"), task("d"), **values)

    assert list(found.items()) == [("a", "failed"), ("d", "open"), ("b", "dropped"), ("c", "dropped")]
    assert stands(task("d"), due=(), dropped=[task("b")]) == {"d": "not_run", "b": "dropped"}
    assert stands(task("d"), due=("plan",), outcome="completed", dropped=[task("b")]) == {}
    assert stands(task("d"), dropped=1) == {"d": "open"}


def test_how_many_stand_how() -> None:
    tasks = tasks_of({"tasks": [task(name) for name in "abc"], "results": ended(a="failed", b="done")}, ["execute"])

    assert counted(tasks) == [("done", 1), ("failed", 1), ("open", 1)]


def test_mermaid_joins_numbered_nodes_and_colours_them() -> None:
    tasks = tasks_of({"tasks": [task("a"), task("b", "a", "a", "gone")], "results": ended(a="done")}, ["execute"])

    lines = mermaid(tasks).splitlines()

    assert lines[:4] == [
        "flowchart LR",
        '    n0["a<br/>lookup<br/>done"]:::done',
        '    n1["b<br/>lookup<br/>open"]:::open',
        "    n0 --> n1",
    ]
    assert [line.split()[:2] for line in lines[4:]] == [["classDef", "done"], ["classDef", "open"]]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ('"]; click n0 call x()', "#34;#93;#59; click n0 call x()"),
        ("a\nb\tc", "a b c"),
        ("<b>`#quot;", "#60;b#62;#96;#35;quot#59;"),
        ("日本語 für é", "日本語 für é"),
        ("a\u202eb", "a#92;u202eb"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 63 + "#8230;"),
        ("end", "end"),
    ],
)
def test_a_models_words_stand_only_in_labels(name: str, label: str) -> None:
    text = mermaid(tasks_of({"tasks": [task(name), task("b", name, tool=name)]}, ["execute"]))

    assert f'n0["{label}<br/>lookup<br/>open"]:::open' in text
    assert f'n1["b<br/>{label}<br/>open"]:::open' in text
    assert all(re.fullmatch(r'flowchart LR| +n\d+\["[^"]*"\]:::open| +n\d+ --> n\d+| +classDef .*', line)
               for line in text.splitlines())  # fmt: skip


def test_a_plan_of_a_thousand_tasks_is_told_whole() -> None:
    tasks = [task(f"t{at}", *([f"t{at - 1}"] if at else [])) for at in range(1_000)]

    text = mermaid(tasks_of({"tasks": tasks}, ["execute"]))

    assert text.count('["') == 1_000
    assert text.count("-->") == 999
