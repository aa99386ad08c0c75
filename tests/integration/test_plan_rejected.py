"""Plans that are not admitted: told once, then the run ends before any call. Failed tasks are planned around."""

from __future__ import annotations

from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from tests.integration.conftest import Script, decide, ids_of, say
from tests.integration.planning import Desk, plan, runs_at, stands, task
from tests.integration.recording import Recording, with_parts

LOOK = task("a", "lookup", id="x")


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def planner(services: Opened) -> Recording:
    return Recording(real=services.services.models, role="planner")


@pytest.fixture
def runs(desk: Desk, services: Opened, planner: Recording) -> Runs:
    at_desk = runs_at(desk, services)
    return with_parts(at_desk.opened, models=planner)


async def run(runs: Runs, context: Any) -> dict[str, Any]:
    return await runs.start("go", thread_id="t", context=context, graph="plan")


FEW = {"input_tokens": 100, "output_tokens": 100}

BAD = {
    "a circle": (plan(task("a", "lookup", "b", id="1"), task("b", "lookup", "a", id="2")), "in a circle"),
    "a need of itself": (plan(task("a", "lookup", "a", id="1")), "a: needs itself"),
    "a reference to itself": (plan(task("a", "lookup", id="$a.id")), "a: needs itself"),
    "another run's task": (
        plan(task("a", "lookup", id="$other.id")),
        "a: needs 'other', which is no task of this plan",
    ),
    "an unknown tool": (plan(task("a", "serach", id="1")), "a: there is no tool 'serach'"),
    "a tool in other letters": (plan(task("a", "l\u043eokup", id="1")), "a: there is no tool"),
    "arguments that can't fit": (plan(task("a", "lookup", ident="1")), "a: ident: lookup takes no such argument"),
    "two tasks of one id": (plan(LOOK, LOOK), "a: several tasks have this id"),
    "10,000 tasks": (
        {**plan(*(task(f"t{n}", "lookup", id="1") for n in range(10_000))), "usage": FEW},
        "10,000 tasks: 1,000 are read",
    ),
    "no tasks": (plan(), "the plan has no tasks"),
    "prose": (say("First I look, then I buy."), "answer by calling plan once"),
    "more calls than the limit": (
        plan(*(task(f"t{n}", "lookup", id="1") for n in range(4))),
        "makes 4, 3 are left: 1 too many",
    ),
    "a sub-task without a task": (plan(task("a", "react", look="there")), "a: task: Field required"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_plan_that_can_not_run_is_sent_back_once_with_what_is_wrong(
    runs: Runs, script: Script, planner: Recording, kind: str
) -> None:
    bad, told = BAD[kind]

    report = await run(runs, script(say("Done."), lists={"planner": [bad, plan(LOOK)]}, max_tool_calls=3))

    assert (report["outcome"], report["usage"]["tool_calls"]) == ("completed", 1)
    assert [told in text for text in planner.last_words()] == [False, True]


@pytest.mark.parametrize("kind", BAD)
async def test_a_second_one_ends_the_run_before_any_call(runs: Runs, script: Script, desk: Desk, kind: str) -> None:
    bad, told = BAD[kind]

    report = await run(runs, script(say("never"), lists={"planner": [bad, bad]}, max_tool_calls=3))

    assert (report["outcome"], report["usage"]["tool_calls"], desk.seen) == ("plan_rejected", 0, [])
    assert told in report["answer"]
    assert len(report["answer"]) < 5_000


async def test_what_a_planner_is_told_stays_short_however_much_is_wrong(
    runs: Runs, script: Script, planner: Recording
) -> None:
    wrong = {**plan(*(task(f"t{n}", "x" * 10_000, id="1") for n in range(900))), "usage": FEW}

    await run(runs, script(say("Done."), lists={"planner": [wrong, plan(LOOK)]}))

    assert len(str(planner.questions[1].messages[-1].text)) < 5_000


async def test_the_price_of_the_whole_plan_is_held_against_what_is_left(runs: Runs, script: Script, desk: Desk) -> None:
    dear = {"input_per_mtok": 1_000.0, "output_per_mtok": 1_000.0}
    turn = {
        **plan(*(task(f"t{n}", "lookup", id="1") for n in range(3))),
        "usage": {"input_tokens": 100, "output_tokens": 0},
    }

    report = await run(runs, script(lists={"planner": [turn, turn], "price": dear}, max_usd=2.0))

    assert (report["outcome"], desk.seen) == ("plan_rejected", [])
    assert "cost: the plan takes about 2.0000 USD, 1.8000 are left: 0.2000 too much" in report["answer"]


async def test_a_limit_reached_while_planning_ends_the_run_at_that_limit(runs: Runs, script: Script) -> None:
    report = await run(runs, script(lists={"planner": [say("hm"), plan(LOOK)]}, max_iterations=1))

    assert report["outcome"] == "stopped_iterations"


async def test_a_failed_task_is_planned_around_and_what_was_done_is_kept(
    runs: Runs, script: Script, planner: Recording, desk: Desk
) -> None:
    first = plan(LOOK, task("f", "broken", id="gone"), task("n", "note", "f", text="n"))
    second = plan(task("n2", "note", text="instead of ${a.id}"))

    report = await run(runs, script(say("Done."), lists={"planner": [first, second]}))

    assert (report["outcome"], desk.calls("lookup"), desk.calls("note")) == ("completed", ["x"], ["instead of <x>"])
    assert await stands(runs) == {"a": "done", "f": "failed", "n2": "done"}
    assert "- a: done\n- f: failed" in str(planner.questions[1].messages[-1].text)


async def test_an_id_of_a_task_that_ended_is_not_given_twice(runs: Runs, script: Script, desk: Desk) -> None:
    first, again = plan(LOOK, task("f", "broken", id="gone")), plan(task("a", "lookup", id="y"))

    report = await run(
        runs, script(say("Done."), lists={"planner": [first, again, plan(task("a2", "lookup", id="y"))]})
    )

    assert (report["outcome"], desk.calls("lookup")) == ("completed", ["x", "y"])


async def test_plans_around_failures_are_bounded_and_the_rest_is_told(runs: Runs, script: Script, desk: Desk) -> None:
    planner = [plan(task(f"f{number}", "broken", id=f"gone{number}")) for number in range(9)]

    report = await run(runs, script(say("I found only x."), lists={"planner": planner}))

    assert report["outcome"] == "tool_failed"
    assert len(desk.calls("broken")) == 3
    assert "gone2 is not there" in report["answer"]
    assert "I found only x." in report["answer"]


@pytest.mark.parametrize("again", [[], [say("no"), say("no")], [{"error": "server_error"}]])
async def test_a_planner_that_has_no_way_around_leaves_what_was_reached(
    runs: Runs, script: Script, again: list[dict[str, Any]]
) -> None:
    report = await run(
        runs, script(say("Only x."), lists={"planner": [plan(LOOK, task("f", "broken", id="gone")), *again]})
    )

    assert report["outcome"] == "tool_failed"
    assert "Only x." in report["answer"]
    assert await stands(runs) == {"a": "done", "f": "failed"}


async def test_what_a_person_refused_is_not_planned_around(
    runs: Runs, script: Script, services: Opened, planner: Recording
) -> None:
    context = script(say("Not bought."), lists={"planner": [plan(task("b", "buy", item="lamp", price=1.0))]})
    report = await run(runs, context)
    await decide(services, ids_of(report)["buy"], "reject")

    report = await runs.resume("t", context=context)

    assert (report["outcome"], report["answer"]) == ("completed", "Not bought.")
    assert len(planner.questions) == 1


async def test_a_reference_to_what_is_not_there_fails_its_task_alone(runs: Runs, script: Script, desk: Desk) -> None:
    tasks = [LOOK, task("n", "note", text="$a.colour"), task("m", "note", text="m")]

    report = await run(runs, script(say("Done."), lists={"planner": [plan(*tasks), plan()]}))

    assert (report["outcome"], desk.calls("note")) == ("tool_failed", ["m"])
    assert await stands(runs) == {"a": "done", "n": "failed", "m": "done"}


async def test_a_planner_whose_model_fails_ends_the_run_so(runs: Runs, script: Script) -> None:
    report = await run(runs, script(lists={"planner": [{"error": "server_error"}]}))

    assert report["outcome"] == "model_failed"


async def test_an_answer_with_calls_is_asked_for_again_in_words(runs: Runs, script: Script, desk: Desk) -> None:
    calls = {"tool_calls": [{"name": "buy", "args": {"item": "x", "price": 1}}]}

    report = await run(runs, script(calls, say("In words."), lists={"planner": [plan(LOOK)]}))

    assert (report["outcome"], report["answer"], desk.calls("buy")) == ("completed", "In words.", [])
