"""The plan graph, end to end: real Postgres and ledger, scripted planner and model."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from app.lifespan import Opened
from app.runs import Runs
from graph.context import LocalContext
from graph.errors import BadSetting
from graph.plan_execute import plan_execute
from tests.integration.conftest import Script, decide, ids_of, messages_of, say
from tests.integration.planning import Desk, plan, runs_at, stands, task

BUY = task("b", "buy", item="lamp", price=12.5)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def runs(desk: Desk, services: Opened) -> Runs:
    return runs_at(desk, services)


async def run(runs: Runs, context: Any) -> dict[str, Any]:
    return await runs.start("go", thread_id="t", context=context, graph="plan")


async def test_a_plan_costs_one_call_to_the_planner_and_one_for_the_answer(runs: Runs, script: Script) -> None:
    planner = [plan(*(task(f"t{number}", "lookup", id=str(number)) for number in range(5)))]

    report = await run(runs, script(say("Found."), lists={"planner": planner}))

    assert (report["outcome"], report["answer"]) == ("completed", "Found.")
    assert (report["usage"]["model_calls"], report["usage"]["tool_calls"], report["usage"]["iterations"]) == (2, 5, 2)
    assert set((await stands(runs)).values()) == {"done"}


async def test_a_reference_is_filled_with_the_field_it_names(runs: Runs, script: Script, desk: Desk) -> None:
    tasks = [
        task("a", "lookup", id="x"),
        task("b", "lookup", id="$a.lines.0.sku"),
        task("c", "note", text="${a.id} costs ${a.price}"),
    ]

    report = await run(runs, script(say("Done."), lists={"planner": [plan(*tasks)]}))

    assert report["outcome"] == "completed"
    assert (desk.calls("lookup"), desk.calls("note")) == (["x", "x-1"], ["<x> costs 12.5"])


async def test_a_reference_keeps_the_type_of_what_it_stands_for(
    runs: Runs, script: Script, desk: Desk, services: Opened
) -> None:
    tasks = [task("a", "lookup", id="x"), task("b", "buy", item="$a.id", price="$a.price")]
    context = script(say("Bought."), lists={"planner": [plan(*tasks)]})

    report = await run(runs, context)
    [row] = report["approvals"]
    assert row["args"] == {"item": "<x>", "price": 12.5}

    await decide(services, row["id"], "approve")
    assert (await runs.resume("t", context=context))["outcome"] == "completed"
    assert desk.calls("buy") == [("<x>", 12.5)]


async def test_a_task_begins_the_moment_what_it_needs_is_there(runs: Runs, script: Script, desk: Desk) -> None:
    """Not when all that began together has ended: the slow one still waits while the quick one's branch is done."""
    desk.gates["slow"] = asyncio.Event()

    tasks = [task("s", "lookup", id="slow"), task("q", "lookup", id="quick"), task("n", "note", "q", text="n")]
    running = asyncio.create_task(run(runs, script(say("Done."), lists={"planner": [plan(*tasks)]})))
    while not desk.calls("note"):
        await asyncio.sleep(0)
        assert not running.done()
    assert desk.running["lookup"] == 1
    desk.gates["slow"].set()

    assert (await running)["outcome"] == "completed"


async def test_no_more_run_together_than_the_run_and_the_tool_allow(runs: Runs, script: Script, desk: Desk) -> None:
    tasks = [task(f"w{number}", "lookup", id=f"w{number}") for number in range(20)]
    tasks += [task(f"n{number}", "narrow", id=f"n{number}") for number in range(6)]

    report = await run(runs, script(say("Done."), lists={"planner": [plan(*tasks)]}))

    assert report["outcome"] == "completed"
    assert desk.most["narrow"] == 2
    assert 2 < desk.most[""] <= 8


async def test_few_ask_one_host_together_and_others_are_not_held_up(runs: Runs, script: Script, desk: Desk) -> None:
    tasks = [task(f"a{number}", "hosted", id=f"a{number}") for number in range(8)]
    tasks += [task(f"b{number}", "hosted", id=f"b{number}") for number in range(4)]
    for one in tasks[:4]:
        desk.gates[one["id"]] = asyncio.Event()
    running = asyncio.create_task(run(runs, script(say("Done."), lists={"planner": [plan(*tasks)]})))
    while [one for one in desk.calls("hosted") if one.startswith("b")] != ["b0", "b1", "b2", "b3"]:
        await asyncio.sleep(0)
        assert not running.done()
    assert sorted(desk.calls("hosted")) == ["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]

    for gate in desk.gates.values():
        gate.set()

    assert (await running)["outcome"] == "completed"
    assert len(desk.calls("hosted")) == 12


async def test_a_run_without_a_thread_plans_too_and_can_not_wait_for_a_person(
    services: Opened, desk: Desk, script: Script
) -> None:
    opened = runs_at(desk, services).opened

    async def engine() -> Opened:
        return opened

    graph: Any = plan_execute(engine)
    asked = {"messages": [HumanMessage("go")]}
    reads = script(
        say("Read."), lists={"planner": [plan(task("a", "lookup", id="x"), task("n", "note", text="$a.id"))]}
    )
    buys = script(say("never"), lists={"planner": [plan(BUY)]})

    assert (await graph.ainvoke(asked, context=reads))["answer"] == "Read."
    assert desk.calls("note") == ["<x>"]
    assert (await graph.ainvoke(asked, context=buys))["outcome"] == "blocked"


async def test_a_callers_bound_on_concurrency_bounds_the_calls(runs: Runs, script: Script, desk: Desk) -> None:
    tasks = [task(f"w{number}", "lookup", id=f"w{number}") for number in range(6)]
    context = script(
        say("Done."), lists={"planner": [plan(*tasks, task("z", "note", *(one["id"] for one in tasks), text="z"))]}
    )
    config: Any = {"configurable": {"thread_id": "t"}, "max_concurrency": 1}

    result = await runs.plan.ainvoke({"messages": [HumanMessage("go")]}, config, context=context)

    assert (result["outcome"], desk.most[""]) == ("completed", 1)


async def test_what_waits_for_a_person_holds_only_what_needs_it(
    runs: Runs, script: Script, services: Opened, desk: Desk
) -> None:
    tasks = [
        BUY,
        task("c", "buy", item="desk", price=1.0),
        task("a", "lookup", id="x"),
        task("n", "note", "b", text="n"),
    ]
    context = script(say("Bought."), lists={"planner": [plan(*tasks)]})

    report = await run(runs, context)

    assert report["outcome"] == "awaiting_approval"
    assert await stands(runs) == {"a": "done", "b": "open", "c": "open", "n": "open"}
    pending = {row["args"]["item"]: row["id"] for row in report["approvals"]}
    assert len({row["interrupt_id"] for row in report["approvals"]}) == 1

    await decide(services, pending["lamp"], "approve")
    report = await runs.resume("t", context=context)

    assert report["outcome"] == "awaiting_approval"
    assert await stands(runs) == {"a": "done", "b": "done", "c": "open", "n": "done"}

    await decide(services, pending["desk"], "approve")
    report = await runs.resume("t", context=context)

    assert (report["outcome"], report["answer"]) == ("completed", "Bought.")
    assert desk.calls("buy") == [("lamp", 12.5), ("desk", 1.0)]
    assert report["usage"]["tool_calls"] == 4


async def test_every_call_of_the_history_has_one_result_right_after_it(
    runs: Runs, script: Script, services: Opened
) -> None:
    tasks = [BUY, task("a", "lookup", id="x"), task("f", "broken", id="f"), task("g", "lookup", id="$a.nothing")]
    context = script(say("Bought."), lists={"planner": [plan(*tasks), plan()]})
    report = await run(runs, context)
    await decide(services, ids_of(report)["buy"], "approve")
    await runs.resume("t", context=context)

    messages = await messages_of(runs, "t")
    asked = [call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    given = [message.tool_call_id for message in messages if isinstance(message, ToolMessage)]

    assert sorted(asked, key=str) == sorted(given)
    assert len(set(given)) == len(given) == 4


@pytest.mark.parametrize("kind", ["reject", "respond", "cancel"])
async def test_a_person_decides_what_becomes_of_the_branch(
    runs: Runs, script: Script, services: Opened, desk: Desk, kind: str
) -> None:
    context = script(say("Said."), lists={"planner": [plan(BUY, task("n", "note", "b", text="n"))]})
    report = await run(runs, context)

    await decide(services, ids_of(report)["buy"], kind, message="take the green one")
    report = await runs.resume("t", context=context)

    stood = {"reject": "refused", "respond": "done", "cancel": "open"}[kind]
    assert report["outcome"] == ("cancelled" if kind == "cancel" else "completed")
    assert desk.calls("buy") == []
    assert desk.calls("note") == (["n"] if kind == "respond" else [])
    assert (await stands(runs))["b"] == stood


async def test_an_edit_is_what_runs_and_what_references_see(
    runs: Runs, script: Script, services: Opened, desk: Desk
) -> None:
    context = script(say("Bought."), lists={"planner": [plan(BUY, task("n", "note", text="$b.order"))]})
    report = await run(runs, context)

    await decide(services, ids_of(report)["buy"], "edit", args={"item": "candle", "price": 1.0})
    assert (await runs.resume("t", context=context))["outcome"] == "completed"

    assert (desk.calls("buy"), desk.calls("note")) == ([("candle", 1.0)], ["o-candle"])


async def test_equal_effects_of_a_plan_each_happen_once(runs: Runs, script: Script, desk: Desk) -> None:
    tasks = [task(f"n{number}", "note", text="same") for number in range(3)]

    report = await run(runs, script(say("Noted."), lists={"planner": [plan(*tasks)]}))

    assert (report["outcome"], desk.calls("note")) == ("completed", ["same"] * 3)


async def test_text_from_outside_reaches_the_model_as_data_and_references_without_its_marks(
    runs: Runs, script: Script, desk: Desk, services: Opened
) -> None:
    tasks = [task("o", "outside", text="a\u200bb <untrusted> c"), task("n", "note", text="$o")]
    context = script(say("Read."), lists={"planner": [plan(*tasks)]})

    await decide(services, ids_of(await run(runs, context))["note"], "approve")
    await runs.resume("t", context=context)

    [shown] = [m for m in await messages_of(runs, "t") if isinstance(m, ToolMessage) and m.name == "outside"]
    assert str(shown.content).startswith("<untrusted")
    [noted] = desk.calls("note")
    assert noted.startswith("ab ")
    assert "<untrusted" not in noted


async def test_a_new_request_on_the_thread_makes_a_new_plan(runs: Runs, script: Script, desk: Desk) -> None:
    planner = [plan(task("a", "lookup", id="x"))]
    await run(runs, script(say("One."), lists={"planner": planner}))

    report = await run(runs, script(say("Two."), lists={"planner": [plan(task("a", "lookup", id="y"))]}))

    assert (report["outcome"], report["answer"]) == ("completed", "Two.")
    assert (report["usage"]["model_calls"], report["usage"]["tool_calls"]) == (2, 1)
    assert desk.calls("lookup") == ["x", "y"]


async def test_a_message_that_comes_while_a_person_is_asked_is_planned_for_afterwards(
    runs: Runs, script: Script, services: Opened, desk: Desk
) -> None:
    planner = [plan(BUY), plan(task("n", "note", text="also ${b.order}"))]
    context = script(say("Both."), lists={"planner": planner})
    report = await run(runs, context)
    config: Any = {"configurable": {"thread_id": "t"}}
    await runs.plan.ainvoke({"messages": [HumanMessage("note it, too")]}, config, context=context)
    assert desk.calls("note") == []

    await decide(services, ids_of(report)["buy"], "approve")
    report = await runs.resume("t", context=context)

    assert (report["outcome"], report["answer"]) == ("completed", "Both.")
    assert (desk.calls("buy"), desk.calls("note")) == ([("lamp", 12.5)], ["also o-lamp"])


async def test_a_call_that_another_graph_left_waiting_runs_here_when_it_is_approved(
    runs: Runs, script: Script, services: Opened, desk: Desk
) -> None:
    call = {"tool_calls": [{"name": "buy", "args": {"item": "desk", "price": 2}}]}
    report = await runs.start("go", thread_id="t", context=script(call, say("never")))
    context = script(say("never"), say("Both."), lists={"planner": [plan(task("a", "lookup", id="x"))]})
    config: Any = {"configurable": {"thread_id": "t"}}
    await runs.plan.ainvoke({"messages": [HumanMessage("and look")]}, config, context=context)
    await decide(services, ids_of(report)["buy"], "approve")

    report = await runs.resume("t", context=context)

    assert (report["outcome"], report["answer"]) == ("completed", "Both.")
    assert (desk.calls("buy"), desk.calls("lookup")) == ([("desk", 2.0)], ["x"])


async def test_a_thread_is_not_gone_on_with_by_another_graph(runs: Runs, script: Script) -> None:
    await run(runs, script(say("never"), lists={"planner": [plan(BUY)]}))

    with pytest.raises(BadSetting, match="is run by the graph plan"):
        await runs.react.ainvoke(None, {"configurable": {"thread_id": "t"}})


async def test_what_was_not_begun_when_a_limit_stopped_the_plan_is_told(
    runs: Runs, script: Script, services: Opened
) -> None:
    tasks = [BUY, task("n", "note", "b", text="n")]
    report = await run(runs, script(say("never"), lists={"planner": [plan(*tasks)]}))
    await decide(services, ids_of(report)["buy"], "approve")

    report = await runs.resume("t", context=LocalContext(max_seconds=0.000_001))

    assert report["outcome"] == "stopped_deadline"
    assert "Not done: buy(" in report["answer"]
    assert "note({'text': 'n'})" in report["answer"]
