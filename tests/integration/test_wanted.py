"""What a request asks for, with counts: a call beyond it needs a person, and after a rejection each one does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.types import StateUpdate

from app.lifespan import Opened
from app.runs import Runs
from nodes.provenance import REJECTED
from tests.integration.conftest import Script, calls, decide, ids_of, say
from tests.integration.planning import Desk, pending, plan, runs_at, task
from tests.integration.provenance_desk import READ, TOOLS, WANTED, noted
from tests.integration.recording import Recording, with_parts
from tests.integration.test_plan_changed import stopped


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def runs(desk: Desk, services: Opened) -> Runs:
    return runs_at(desk, services, *TOOLS)


async def test_a_call_the_request_does_not_ask_for_needs_a_person_whatever_its_arguments(
    runs: Runs, script: Script
) -> None:
    nothing = {"reader": [calls(("asked_for", {"calls": []}))]}
    context = script(calls(READ), calls(noted("Fair Road 12")), say("Done."), lists=nothing)

    report = await runs.start("What is at 'Fair Road 12'?", thread_id="t", context=context)

    assert pending(report) == {"note": ("high", "the request asks for no note")}


@pytest.mark.parametrize("together", [True, False])
async def test_one_call_more_than_the_request_asks_for_needs_a_person(
    runs: Runs, script: Script, desk: Desk, *, together: bool
) -> None:
    one = noted("Fair Road 12")
    turns = [calls(one, one)] if together else [calls(one), calls(one)]
    context = script(calls(READ), *turns, say("Done."), lists=WANTED)

    report = await runs.start("Read it, then note 'Fair Road 12'.", thread_id="t", context=context)

    assert desk.calls("note") == ["Fair Road 12"]
    assert pending(report) == {"note": ("high", "the request asks for 1 note, and 1 ran already")}


@pytest.mark.parametrize("together", [True, False])
async def test_a_call_made_twice_takes_no_other_ones_place(
    runs: Runs, script: Script, desk: Desk, *, together: bool
) -> None:
    one, other = noted("Fair Road 12"), noted("Hill Road 3")
    two = {"reader": [calls(("asked_for", {"calls": [{"tool": "note", "count": 2}]}))]}
    turns = [calls(one, one)] if together else [calls(one), calls(one)]
    context = script(calls(READ), *turns, say("Done."), lists=two)
    asked = "Read it, then note 'Fair Road 12' and 'Hill Road 3'."

    report = await runs.start(asked, thread_id="t", context=context)

    assert desk.calls("note") == ["Fair Road 12"]
    assert pending(report) == {"note": ("high", "just this note ran already")}

    context = script(calls(READ), calls(one), calls(other), say("Done."), lists=two)
    report = await runs.start(asked, thread_id="u", context=context)

    assert report["outcome"] == "completed"


@pytest.mark.parametrize(
    "reply", [say("I will not say."), calls(("asked_for", {"calls": "all"})), calls(("other", {}))]
)
async def test_a_reader_that_says_nothing_usable_has_asked_for_nothing(
    runs: Runs, script: Script, reply: dict[str, Any]
) -> None:
    context = script(calls(READ), calls(noted("Fair Road 12")), say("Done."), lists={"reader": [reply]})

    report = await runs.start("Read it, then note 'Fair Road 12'.", thread_id="t", context=context)

    assert pending(report) == {"note": ("high", "the request asks for no note")}


async def test_the_reader_sees_nothing_but_what_people_said(services: Opened, desk: Desk, script: Script) -> None:
    models = Recording(real=services.services.models, role="reader")
    runs = with_parts(runs_at(desk, services).opened, models=models)
    context = script(calls(READ), calls(noted("Fair Road 12")), say("Done."), lists=WANTED)

    await runs.start("Read it, then note 'Fair Road 12'.", thread_id="t", context=context)

    [question] = models.questions
    told = "\n".join(str(message.text) for message in question.messages)
    assert "Evil" not in told
    assert told.endswith("Read it, then note 'Fair Road 12'.")
    assert "- note: Write something down." in told
    assert "- outside:" not in told


@pytest.mark.parametrize("graph", ["react", "plan"])
async def test_after_a_rejection_each_further_call_with_an_effect_asks_in_that_turn_alone(
    runs: Runs, script: Script, services: Opened, desk: Desk, graph: str
) -> None:
    buy, one = ("buy", {"item": "lamp", "price": 1.0}), noted("Fair Road 12")
    planner = [plan(task("b", "buy", item="lamp", price=1.0)), plan(task("n", "note", text="Fair Road 12"))]
    turns = [calls(buy), calls(one), say("Done.")] if graph == "react" else [say("Done.")]
    context = script(*turns, lists={"planner": planner})
    report = await runs.start("Buy a lamp.", thread_id="t", context=context, graph=graph)
    await decide(services, ids_of(report)["buy"], "reject")
    report = await runs.resume("t", context=context)
    if graph == "react":
        assert pending(report) == {
            "note": ("high", "a call of this turn was rejected, and something tries another one")
        }
        await decide(services, ids_of(report)["note"], "reject")
        await runs.resume("t", context=context)
    assert desk.calls("note") == []

    again = script(calls(one), say("Done."), lists={"planner": planner[1:]})
    report = await runs.start("Note 'Fair Road 12'.", thread_id="t", context=again, graph=graph)

    assert report["outcome"] == "completed"
    assert desk.calls("note") == ["Fair Road 12"]


@pytest.mark.parametrize("kind", ["approve", "reject"])
async def test_what_a_person_decided_of_a_call_lets_no_other_one_run(
    runs: Runs, script: Script, services: Opened, desk: Desk, kind: str
) -> None:
    context = script(calls(READ), calls(noted("4711 Evil Street")), say("Done."), lists=WANTED)
    report = await runs.start("Read it and note the address.", thread_id="t", context=context)
    [call] = (await runs.known("t")).values["calls"]
    await decide(services, ids_of(report)["note"], kind)
    other = {
        **call,
        "args": {"text": "0815 Evil Street"},
        "status": "ready",
        "risk": "low",
        "approval_id": ids_of(report)["note"],
    }
    await runs.react.abulk_update_state(
        {"configurable": {"thread_id": "t"}}, [[StateUpdate({"calls": [other]}, as_node="reason")]]
    )

    report = await runs.resume("t", context=context)

    assert report["outcome"] == "awaiting_approval"
    assert desk.calls("note") == []


async def test_a_plan_made_after_a_rejection_has_no_other_say(
    runs: Runs, script: Script, services: Opened, desk: Desk
) -> None:
    await runs.start("Read it.", thread_id="t", context=script(calls(READ), say("Read.")))
    buy, broken = task("b", "buy", item="lamp", price=1.0), task("x", "broken", id="a")
    planner = [plan(buy, broken), plan(task("n", "note", text="Fair Road 12"))]
    context = script(say("Done."), lists={"planner": planner, "reader": [WANTED["reader"][0]] * 2})
    report = await runs.start("Buy a lamp, note 'Fair Road 12'.", thread_id="t", context=context, graph="plan")
    await decide(services, ids_of(report)["buy"], "reject")

    report = await runs.resume("t", context=context)

    assert desk.calls("note") == []
    assert pending(report) == {"note": ("high", "a call of this turn was rejected, and something tries another one")}


async def test_in_a_plan_what_a_person_let_go_takes_its_place_in_the_count(
    runs: Runs, script: Script, services: Opened, desk: Desk
) -> None:
    await runs.start("Read it.", thread_id="t", context=script(calls(READ), say("Read.")))
    planner = [plan(task("n", "note", text="of its own"), task("m", "note", "n", text="Fair Road 12"))]
    context = script(say("Done."), lists={"planner": planner, **WANTED})
    report = await runs.start("Note 'Fair Road 12'.", thread_id="t", context=context, graph="plan")
    await decide(services, ids_of(report)["note"], "approve")

    report = await runs.resume("t", context=context)

    assert desk.calls("note") == ["of its own"]
    assert pending(report) == {"note": ("high", "the request asks for 1 note, and 1 ran already")}


async def test_what_ended_before_a_crash_keeps_its_place_in_the_count(
    runs: Runs, script: Script, services: Opened, desk: Desk
) -> None:
    await runs.start("Read it.", thread_id="t", context=script(calls(READ), say("Read.")))
    first, slow = task("n", "note", text="Fair Road 12"), task("s", "lookup", id="slow")
    planner = [plan(first, slow, task("m", "note", "n", "s", text="Fair Road"))]
    context = script(say("Done."), lists={"planner": planner, **WANTED})
    desk.gates["slow"] = asyncio.Event()
    running = asyncio.create_task(runs.start("Note 'Fair Road 12'.", thread_id="t", context=context, graph="plan"))
    await stopped(running, when=lambda: bool(desk.calls("note")), opened=services, stored=1)
    desk.gates["slow"].set()

    report = await runs.resume("t", context=context)

    assert desk.calls("note") == ["Fair Road 12"]
    assert pending(report) == {"note": ("high", "the request asks for 1 note, and 1 ran already")}


async def test_what_ran_for_an_earlier_request_takes_no_place_of_a_new_ones(
    runs: Runs, script: Script, desk: Desk
) -> None:
    context = script(calls(READ), calls(noted("Fair Road 12")), say("Done."), lists=WANTED)
    await runs.start("Read it, note 'Fair Road 12'.", thread_id="t", context=context)
    hill = calls(noted("Hill Road 3"))
    again = script(hill, hill, say("Done."), lists=WANTED)

    report = await runs.start("Now note 'Hill Road 3'.", thread_id="t", context=again)

    assert desk.calls("note") == ["Fair Road 12", "Hill Road 3"]
    assert pending(report) == {"note": ("high", "the request asks for 1 note, and 1 ran already")}


@pytest.mark.parametrize("graph", ["react", "plan"])
async def test_nor_in_its_first_step_although_the_request_asked_for_more_than_was_made(
    runs: Runs, script: Script, graph: str
) -> None:
    two = {"reader": [calls(("asked_for", {"calls": [{"tool": "note", "count": 2}]}))]}
    context = script(calls(READ), calls(noted("Fair Road 12")), say("Done."), lists=two)
    await runs.start("Read it, note 'Fair Road 12' and 'Hill Road 3'.", thread_id="t", context=context)
    hill = task("n", "note", text="Hill Road 3")
    more: Any = script(calls(noted("Hill Road 3")), say("Done."), lists={**two, "planner": [plan(hill)]})
    config: Any = {"configurable": {"thread_id": "t"}}
    built = runs.react if graph == "react" else runs.plan

    await built.ainvoke({"messages": [AIMessage("I go on.", id="a")]}, config, context=more)

    assert await _asked(runs) == {"note": ("high", "nobody has asked for anything since the last run ended")}


async def test_a_rejection_still_counts_in_it(runs: Runs, script: Script, services: Opened) -> None:
    context = script(calls(READ), calls(noted("4711 Evil Street")), say("Done."), lists=WANTED)
    report = await runs.start("Read it, note 'Fair Road 12'.", thread_id="t", context=context)
    await decide(services, ids_of(report)["note"], "reject")
    await runs.resume("t", context=context)
    more: Any = script(calls(noted("Fair Road 12")), say("Done."), lists=WANTED)
    config: Any = {"configurable": {"thread_id": "t"}}

    await runs.react.ainvoke({"messages": [AIMessage("I go on.", id="a")]}, config, context=more)

    assert await _asked(runs) == {"note": ("high", REJECTED)}


async def _asked(runs: Runs) -> dict[str, tuple[str, str]]:
    rows = await runs.opened.approvals.find(thread_id="t", pending=True)
    return {row.tool: (row.risk, row.reason) for row in rows}


async def test_a_run_that_nobody_asked_for_makes_no_call_anew(runs: Runs, script: Script, desk: Desk) -> None:
    context = script(calls(noted("Fair Road 12")), say("Done."), lists=WANTED)
    await runs.start("Note 'Fair Road 12', and read it.", thread_id="t", context=context)
    more: Any = script(calls(READ), calls(noted("Fair Road 12")), say("Done."), lists=WANTED)
    config: Any = {"configurable": {"thread_id": "t"}}

    await runs.react.ainvoke({"messages": [AIMessage("I go on.", id="a")]}, config, context=more)

    assert desk.calls("note") == ["Fair Road 12"]
    assert desk.calls("outside") != []
