"""A plan before, while and after it runs, as the command line tells it: real Postgres, scripted planner."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.types import StateUpdate

from app.choosing import chosen
from app.lifespan import Opened
from app.replay import preview
from app.report import exit_code
from app.runs import Runs
from app.worker import advance
from graph.errors import BadSetting, ThreadWaiting
from tests.integration.conftest import Script, calls, decide, ids_of, say
from tests.integration.planning import Desk, plan, runs_at, task

BUY = task("b", "buy", item="lamp", price=12.5)
NOTE = task("n", "note", "b", text="n")
LOOK = task("a", "lookup", id="x")


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def runs(desk: Desk, services: Opened) -> Runs:
    return runs_at(desk, services)


def stands(report: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["stands"] for one in report["plan"]}


async def start(runs: Runs, context: Any, **more: Any) -> dict[str, Any]:
    return await runs.start("go", thread_id="t", context=context, graph="plan", **more)


async def test_a_report_tells_the_plan_and_draws_it(runs: Runs, script: Script, services: Opened) -> None:
    context = script(say("Bought."), lists={"planner": [plan(LOOK, BUY, NOTE, task("c", "lookup", id="$b.order"))]})

    report = await start(runs, context)

    assert report["plan"][0] == {
        "id": "a", "tool": "lookup", "args": {"id": "x"}, "needs": [], "stands": "done",
        "estimate": {"calls": 1, "tokens": 500, "cost_usd": 0.0},
    }  # fmt: skip
    assert stands(report) == {"a": "done", "b": "waiting", "n": "open", "c": "open"}
    assert report["mermaid"].startswith("flowchart LR\n")

    await decide(services, ids_of(report)["buy"], "reject")
    report = await runs.resume("t", context=context)
    assert stands(report) == {"a": "done", "b": "refused", "n": "not_run", "c": "not_run"}


async def test_a_run_without_a_plan_tells_none_also_on_a_thread_that_had_one(runs: Runs, script: Script) -> None:
    await start(runs, script(say("Done."), lists={"planner": [plan(LOOK)]}))

    report = await runs.start("more", thread_id="t", context=script(say("More.")))

    assert "plan" not in report
    assert "mermaid" not in report


async def test_only_a_plan_is_made_and_a_resume_runs_it(runs: Runs, script: Script, desk: Desk) -> None:
    context = script(say("Done."), lists={"planner": [plan(LOOK, task("n", "note", "a", text="n"))]})

    report = await start(runs, context, plan_only=True)

    assert (report["outcome"], exit_code(report, plan_only=True), desk.seen) == (None, 0, [])
    assert stands(report) == {"a": "open", "n": "open"}

    report = await runs.resume("t", context=context)
    assert (report["outcome"], stands(report)) == ("completed", {"a": "done", "n": "done"})
    assert report["usage"]["model_calls"] == 2


async def test_no_worker_runs_what_was_only_planned(runs: Runs, script: Script, services: Opened, desk: Desk) -> None:
    await start(runs, script(say("Done."), lists={"planner": [plan(LOOK)]}), plan_only=True)
    gone_on: list[str] = []

    async def go_on(thread: str) -> None:
        gone_on.append(thread)

    await advance(services, go_on, "t")

    assert (gone_on, desk.seen) == ([], [])


async def test_a_plan_that_is_not_admitted_ends_the_run_as_ever(runs: Runs, script: Script) -> None:
    report = await start(runs, script(lists={"planner": [say("no"), say("no")]}), plan_only=True)

    assert (report["outcome"], exit_code(report, plan_only=True)) == ("plan_rejected", 1)
    assert "plan" not in report
    assert "answer by calling plan once, and nothing else; it said: no" in report["answer"]


async def test_a_plan_that_was_edited_before_it_runs_runs_as_edited(runs: Runs, script: Script, desk: Desk) -> None:
    context = script(say("Done."), lists={"planner": [plan(LOOK)]})
    await start(runs, context, plan_only=True)
    config: Any = {"configurable": {"thread_id": "t"}}
    [made] = (await runs.known("t")).values["tasks"]

    edited = StateUpdate({"tasks": [{**made, "args": {"id": "y"}}]}, as_node="plan")
    await runs.plan.abulk_update_state(config, [[edited]])
    report = await runs.resume("t", context=context)

    assert (report["outcome"], desk.calls("lookup")) == ("completed", ["y"])


async def test_another_request_gives_up_a_plan_that_was_only_seen(runs: Runs, script: Script, desk: Desk) -> None:
    await start(runs, script(lists={"planner": [plan(task("b", "note", text="first"))]}), plan_only=True)

    second = script(say("Done."), lists={"planner": [plan(task("b", "note", text="second"))]})
    report = await start(runs, second, plan_only=True)
    assert (report["outcome"], [one["args"]["text"] for one in report["plan"]]) == (None, ["second"])

    third = script(say("Done."), lists={"planner": [plan(task("b", "note", text="third"))]})
    assert (await start(runs, third))["outcome"] == "completed"
    assert desk.calls("note") == ["third"]


async def test_a_plan_that_has_begun_is_neither_given_up_nor_run_by_asking_for_another(
    runs: Runs, script: Script, services: Opened, desk: Desk
) -> None:
    """As a run is left that was killed in its plan: the effect is in the ledger, no result is in the state."""
    context = script(say("Done."), lists={"planner": [plan(task("n", "note", text="n")), plan()]})
    await start(runs, context)
    [planned] = [row["checkpoint_id"] for row in await runs.history("t") if row["next"] == ["execute"]]
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_id": planned}}
    await runs.plan.abulk_update_state(config, [[StateUpdate({"reason": ""}, as_node="plan")]])

    with pytest.raises(BadSetting, match="the plan of thread t has begun: go on with 'ballast resume t'"):
        await start(runs, context, plan_only=True)

    report = await start(runs, context)
    assert (report["outcome"], desk.calls("note")) == ("completed", ["n"])


async def test_a_plan_with_results_is_not_given_up(runs: Runs, script: Script, desk: Desk) -> None:
    context = script(say("Done."), lists={"planner": [plan(LOOK, task("n", "note", text="n")), plan()]})
    await start(runs, context, plan_only=True)
    results = {"a": {"stands": "done", "text": "{}"}}
    config: Any = {"configurable": {"thread_id": "t"}}
    await runs.plan.abulk_update_state(config, [[StateUpdate({"results": results}, as_node="plan")]])

    report = await start(runs, context)

    assert (report["outcome"], desk.seen) == ("completed", [("note", "n")])


async def test_a_thread_that_waits_for_a_person_makes_no_other_plan(runs: Runs, script: Script) -> None:
    context = script(say("Done."), lists={"planner": [plan(BUY)]})
    await start(runs, context)

    with pytest.raises(ThreadWaiting):
        await start(runs, context, plan_only=True)


async def test_a_dry_run_tells_which_tasks_would_run_and_which_would_be_asked(
    runs: Runs, script: Script, services: Opened
) -> None:
    tasks = [LOOK, BUY, task("c", "buy", item="$a.id", price="$a.price"), NOTE]
    context = script(say("Done."), lists={"planner": [plan(*tasks)]})
    report = await start(runs, context)
    ids = {row["args"]["item"]: row["id"] for row in report["approvals"]}
    await decide(services, ids["lamp"], "approve")
    await runs.resume("t", context=context)
    second, first = [row["checkpoint_id"] for row in await runs.history("t") if row["next"] == ["execute"]]

    found = await preview(runs.opened, await runs.find_checkpoint("t", node=None, checkpoint_id=first))

    assert [one["tool"] for one in found["calls"]] == ["lookup", "note"]
    assert [one["args"] for one in found["asks"]] == [BUY["args"], {"item": "$a.id", "price": "$a.price"}]
    assert [one["tool"] for one in found["effects_reused"]] == ["buy", "note"]

    found = await preview(runs.opened, await runs.find_checkpoint("t", node=None, checkpoint_id=second))
    assert [one["args"] for one in found["calls"]] == [BUY["args"], NOTE["args"]]
    assert [one["args"]["item"] for one in found["asks"]] == ["<x>"]

    found = await preview(runs.opened, await runs.find_checkpoint("t", node="approve", checkpoint_id=None))
    assert (found["calls"], [one["args"]["item"] for one in found["asks"]]) == ([], ["<x>"])


async def test_a_dry_run_of_a_thread_without_a_plan_tells_its_calls_alone(runs: Runs, script: Script) -> None:
    await start(runs, script(say("Done."), lists={"planner": [plan(LOOK)]}))
    await runs.start("more", thread_id="t", context=script(calls(("note", {"text": "n"})), say("More.")))

    found = await preview(runs.opened, await runs.find_checkpoint("t", node="act", checkpoint_id=None))

    assert [one["tool"] for one in found["calls"]] == ["note"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, None, False), "react"),
        ((None, "new", False), "react"),
        ((None, "t", False), "plan"),
        ((None, "a\0b", False), "react"),
        ((None, None, True), "plan"),
        (("react", "t", False), "react"),
        (("plan", None, False), "plan"),
        (("auto", "t", False), "plan"),
        (("auto", None, False), "react"),
        (("auto", None, True), "plan"),
    ],
)
async def test_a_thread_keeps_its_graph_unless_another_is_named(
    runs: Runs, script: Script, asked: tuple[str | None, str | None, bool], expected: str
) -> None:
    await start(runs, script(say("Done."), lists={"planner": [plan(LOOK)]}))

    graph, thread, plan_only = asked
    found = await chosen(runs.opened, graph, "list files", thread=thread, plan_only=plan_only)

    assert found.graph == expected
