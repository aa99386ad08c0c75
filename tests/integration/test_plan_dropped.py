"""What became of a plan that another one took the place of: told where it is dropped, gone with its run."""

from __future__ import annotations

import io
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from rich.console import Console

from app.lifespan import Opened
from app.progress import Progress
from app.runs import Runs
from app.timeline import timeline
from tests.integration.conftest import Script, decide, ids_of, say
from tests.integration.planning import Desk, plan, runs_at, task
from tests.integration.recording import Recording, with_parts

LOOK = task("a", "lookup", id="x")
FAILS = task("f", "broken", id="gone")
FIRST = plan(LOOK, FAILS, task("n", "note", "f", text="first"), task("m", "note", "n", text="then"))


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def model(services: Opened) -> Recording:
    return Recording(real=services.services.models)


@pytest.fixture
def planner(services: Opened) -> Recording:
    return Recording(real=services.services.models, role="planner")


@pytest.fixture
def runs(desk: Desk, services: Opened) -> Runs:
    return runs_at(desk, services)


async def run(runs: Runs, context: Any) -> dict[str, Any]:
    return await runs.start("go", thread_id="t", context=context, graph="plan")


def stands(report: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["stands"] for one in report["plan"]}


async def test_tasks_that_a_replan_drops_are_told_and_do_not_run(
    desk: Desk, services: Opened, model: Recording, script: Script
) -> None:
    shown = io.StringIO()
    opened = with_parts(runs_at(desk, services).opened, models=model).opened
    runs = Runs(opened=opened, progress=Progress(Console(file=shown, width=1_000)))

    report = await run(runs, script(say("Done."), lists={"planner": [FIRST, plan(task("i", "note", text="instead"))]}))

    assert (report["outcome"], desk.calls("note")) == ("completed", ["instead"])
    assert stands(report) == {"a": "done", "f": "failed", "i": "done", "n": "dropped", "m": "dropped"}
    assert 'n3["n<br/>note<br/>dropped by a replan"]:::dropped' in report["mermaid"]
    assert "n1 --> n3" in report["mermaid"]
    assert "plan  dropped: n, m" in shown.getvalue()
    assert shown.getvalue().count("plan  a: lookup") == 1
    assert "then dropped for another plan: n (note), m (note)." in model.last_words()[-1]
    steps = (await timeline(runs.plan, services.saver, "t", limit=50)).steps
    told = {entry.title: entry.text for step in steps for entry in step.entries if entry.kind == "plan"}
    assert told["2 tasks dropped by a replan"] == "n: Note, after f\nm: Note, after n"


async def test_what_each_replan_drops_gathers_until_the_run_ends(runs: Runs, script: Script, services: Opened) -> None:
    second = plan(task("g", "broken", id="gone, too"), task("p", "note", "g", text="p"))
    buy = task("b", "buy", item="lamp", price=1.0)

    report = await run(runs, script(say("Done."), lists={"planner": [FIRST, second, plan(buy)]}))

    dropped = {"n": "dropped", "m": "dropped", "p": "dropped"}
    assert stands(report) == {"a": "done", "f": "failed", "g": "failed", "b": "waiting", **dropped}
    await decide(services, ids_of(report)["buy"], "approve")
    report = await runs.resume("t", context=script(say("Done."), lists={"planner": []}))
    assert (report["outcome"], stands(report)["m"]) == ("completed", "dropped")

    report = await run(runs, script(say("Again."), lists={"planner": [plan(task("n", "lookup", id="y"))]}))
    assert (report["outcome"], stands(report)) == ("completed", {"n": "done"})


@pytest.mark.parametrize(
    ("again", "why"),
    [
        (task("n", "note", text="other"), "n: an earlier task has this id, take another"),
        (task("i", "note", "n", text="after"), "i: needs 'n', which is no task of this plan"),
        (task("i", "note", text="$m"), "i: needs 'm', which is no task of this plan"),
    ],
)
async def test_no_new_task_has_the_id_of_a_dropped_one_or_refers_to_it(  # noqa: PLR0913, PLR0917 - a table, and fixtures
    desk: Desk, services: Opened, planner: Recording, script: Script, again: dict[str, Any], why: str
) -> None:
    runs = with_parts(runs_at(desk, services).opened, models=planner)

    report = await run(
        runs, script(say("Done."), lists={"planner": [FIRST, plan(again), plan(task("i", "note", text="instead"))]})
    )

    told = planner.last_words()
    assert told[1].startswith("Of the plan for the last request this is how the tasks stand")
    assert "- a: done\n- f: failed\n- n: not run\n- m: not run\n" in told[1]
    assert why in told[2]
    assert (report["outcome"], desk.calls("note")) == ("completed", ["instead"])


async def test_what_is_dropped_takes_no_room_in_the_limits(runs: Runs, script: Script, desk: Desk) -> None:
    again = plan(task("i", "note", text="one"), task("j", "note", text="two"))

    context = script(say("Done."), lists={"planner": [FIRST, again]}, max_tool_calls=4, tool_limits="note=2")
    report = await run(runs, context)

    assert (report["outcome"], report["usage"]["tool_calls"]) == ("completed", 4)
    assert sorted(desk.calls("note")) == ["one", "two"]


@pytest.mark.parametrize("again", [[plan()], [say("no"), say("no")], []], ids=["no tasks", "no plan", "no reply"])
async def test_what_no_plan_was_found_around_counts_as_failed_and_nothing_as_dropped(
    runs: Runs, script: Script, model: Recording, again: list[dict[str, Any]]
) -> None:
    runs = with_parts(runs.opened, models=model)

    report = await run(runs, script(say("Only x."), lists={"planner": [FIRST, *again]}))

    assert report["outcome"] == "tool_failed"
    assert "Stopped: the plan came to no end: f: gone is not there. Only x." in report["answer"]
    assert stands(report) == {"a": "done", "f": "failed", "n": "not_run", "m": "not_run"}
    assert "what they needed is not there: n (note), m (note)." in model.last_words()[-1]


async def test_a_planner_that_finds_no_way_is_asked_no_second_time(
    desk: Desk, services: Opened, planner: Recording, script: Script
) -> None:
    runs = with_parts(runs_at(desk, services).opened, models=planner)

    await run(runs, script(say("Only x."), lists={"planner": [FIRST, plan(), plan(task("i", "note", text="late"))]}))

    assert (len(planner.questions), desk.calls("note")) == (2, [])


async def test_what_failed_around_what_failed_is_told_and_what_was_planned_around_is_not(
    runs: Runs, script: Script
) -> None:
    lists = {"planner": [plan(LOOK, FAILS), plan(task("g", "broken", id="this")), plan()]}

    report = await run(runs, script(say("Only x."), lists=lists))

    assert report["outcome"] == "tool_failed"
    assert "came to no end: g: this is not there. Only x." in report["answer"]


async def test_a_request_that_came_meanwhile_drops_what_can_not_run_only_for_tasks_of_its_own(
    runs: Runs, script: Script, services: Opened
) -> None:
    buy = task("b", "buy", item="lamp", price=1.0)
    lists = {"planner": [plan(buy, task("n", "note", "b", text="n")), plan(), plan(task("i", "lookup", id="y"))]}
    context = script(say("Not bought."), lists=lists)
    config: Any = {"configurable": {"thread_id": "t"}}
    report = await run(runs, context)
    await runs.plan.ainvoke({"messages": [HumanMessage("and?")]}, config, context=context)
    await decide(services, ids_of(report)["buy"], "reject")

    report = await runs.resume("t", context=context)

    assert (report["outcome"], stands(report)) == ("completed", {"b": "refused", "n": "not_run"})


class Raising:
    """Models that break in a way nobody foresaw."""

    async def complete(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    def usd(self, *_: Any) -> float:
        return 0.0


async def test_a_planner_that_breaks_leaves_nothing_of_the_plan_before_it(
    runs: Runs, script: Script, services: Opened
) -> None:
    left = plan(task("b", "buy", item="lamp", price=1.0), task("n", "note", "b", text="n"))
    report = await run(runs, script(say("Not bought."), lists={"planner": [left]}))
    await decide(services, ids_of(report)["buy"], "reject")
    report = await runs.resume("t", context=script(say("Not bought."), lists={"planner": [left]}))
    assert stands(report) == {"b": "refused", "n": "not_run"}

    report = await run(with_parts(runs.opened, models=Raising()), script(say("never")))

    assert (report["outcome"], "plan" in report) == ("model_failed", False)
    assert report["answer"] == "Stopped: plan failed: RuntimeError: a bug."
    values = (await runs.known("t")).values
    assert [values[name] for name in ("tasks", "results")] == [[], {}]
    report = await run(runs, script(say("Two."), lists={"planner": [plan(task("n", "lookup", id="y"))]}))
    assert (report["outcome"], stands(report)) == ("completed", {"n": "done"})


async def test_a_planner_that_breaks_over_a_failure_leaves_what_its_run_reached(
    runs: Runs, script: Script, services: Opened
) -> None:
    class Once(Recording):
        async def complete(self, *given: Any, **named: Any) -> Any:
            if self.questions:
                raise RuntimeError("a bug")
            return await super().complete(*given, **named)

    broken = with_parts(runs.opened, models=Once(real=services.services.models, role="planner"))

    report = await run(broken, script(say("never"), lists={"planner": [FIRST]}))

    assert report["outcome"] == "model_failed"
    assert stands(report) == {"a": "done", "f": "failed", "n": "not_run", "m": "not_run"}
    assert "Done: lookup. Not done: note({'text': 'first'}), note({'text': 'then'})." in report["answer"]


async def test_a_run_of_another_graph_tells_nothing_of_the_plan_before_it(runs: Runs, script: Script) -> None:
    await run(runs, script(say("Only x."), lists={"planner": [FIRST, plan()]}))

    look = {"tool_calls": [{"name": "lookup", "args": {"id": "z"}}] * 2}
    report = await runs.start("more", thread_id="t", context=script(look, max_tool_calls=1), graph="react")

    assert report["outcome"] == "stopped_tool_calls"
    assert "note(" not in report["answer"]
