"""Effects of a plan that are equal, in doubt, or held: each happens once, whatever ended before it or was lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from graph.context import Context
from tests.integration.conftest import Script, decide, say
from tests.integration.planning import Desk, plan, runs_at, stands, task
from tools.base import Injected, tool


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def runs(desk: Desk, services: Opened) -> Runs:
    return runs_at(desk, services)


async def test_an_equal_effect_of_a_later_plan_happens_too_whichever_of_the_first_ended_last(
    runs: Runs, script: Script, desk: Desk
) -> None:
    desk.gates["slow"] = asyncio.Event()
    first = plan(
        task("s", "lookup", id="slow"),
        task("q", "lookup", id="quick"),
        task("a", "note", "s", text="same"),
        task("b", "note", "q", text="same"),
        task("f", "broken", id="gone"),
    )
    context = script(say("Done."), lists={"planner": [first, plan(task("c", "note", text="same"))]})

    running = asyncio.create_task(runs.start("go", thread_id="t", context=context, graph="plan"))
    while not desk.calls("note"):
        await asyncio.sleep(0)
        assert not running.done()
    desk.gates["slow"].set()

    assert (await running)["outcome"] == "completed"
    assert desk.calls("note") == ["same"] * 3


async def test_what_ended_before_a_crash_is_taken_for_no_other_task_when_the_rules_are_tighter_after_it(
    script: Script, services: Opened, desk: Desk
) -> None:
    """Of two calls a person let go the first was done; then it is held, and must not leave its place to the second."""
    tighter: list[str] = []
    happened: list[str] = []
    second = asyncio.Event()

    def rule(item: str) -> Any:
        return ("critical", "not any more") if item in tighter else None

    @tool(risk="high", untrusted_output=False, idempotent=False, raise_risk=rule)
    async def order(item: str) -> str:
        """Order something.

        Args:
            item: What.
        """
        if item == "second":
            await second.wait()
        happened.append(item)
        return f"ordered {item}"

    runs = runs_at(desk, services, order)
    tasks = [
        task("a", "order", item="first"),
        task("b", "order", item="second"),
        task("n", "note", text="$a"),
        task("q", "lookup", "n", id="q"),
    ]
    context = script(say("Done."), lists={"planner": [plan(*tasks)]})
    report = await runs.start("go", thread_id="t", context=context, graph="plan")
    for row in report["approvals"]:
        await decide(services, row["id"], "approve")
    running = asyncio.create_task(runs.resume("t", context=Context()))
    while not desk.calls("lookup"):
        await asyncio.sleep(0)
        assert not running.done()
    running.cancel()
    await running

    tighter.append("first")
    second.set()
    report = await runs.resume("t", context=Context())

    [doubt] = [row for row in report["approvals"] if row["status"] == "pending"]
    assert (doubt["args"], happened) == ({"item": "second"}, ["first"])
    await decide(services, doubt["id"], "retry")
    assert (await runs.resume("t", context=Context()))["outcome"] == "completed"
    assert (happened, desk.calls("note")) == (["first", "second"], ["ordered first"])


@pytest.fixture
def rung() -> list[str]:
    """Keys of each ring, in order."""
    return []


@pytest.fixture
async def asked(rung: list[str], script: Script, services: Opened, desk: Desk) -> tuple[Runs, dict[str, Any]]:
    """A plan that has left an effect in doubt, the first ring at the front, and the question about it."""
    broken: list[str] = []

    @tool(risk="low", untrusted_output=False, idempotent=False)
    async def ring(bell: str, context: Injected) -> str:
        """Ring.

        Args:
            bell: Which.
        """
        rung.append(context.idempotency_key)
        if bell == "front" and not broken:
            broken.append(context.idempotency_key)
            raise RuntimeError("cut off")
        return f"rang {bell}"

    runs = runs_at(desk, services, ring)
    tasks = [
        task("r", "ring", bell="front"),
        task("again", "ring", bell="front"),
        task("other", "ring", bell="back"),
        task("n", "note", text="after $r"),
        task("m", "note", "r", text="needs r"),
        task("l", "lookup", "other", id="x"),
    ]
    context = script(say("Done."), lists={"planner": [plan(*tasks)]})
    report = await runs.start("go", thread_id="t", context=context, graph="plan")
    [row] = [row for row in report["approvals"] if row["status"] == "pending"]
    assert (row["tool"], row["args"], row["effect_key"], row["deadline"]) == (
        "ring",
        {"bell": "front"},
        broken[0],
        None,
    )
    return runs, row


async def test_an_effect_in_doubt_holds_its_branch_and_its_equals_and_nothing_else(
    asked: tuple[Runs, dict[str, Any]], rung: list[str], desk: Desk
) -> None:
    assert await stands(asked[0]) == {
        "r": "open", "again": "open", "other": "done", "n": "done", "m": "open", "l": "done",
    }  # fmt: skip
    assert len(rung) == 2
    assert desk.calls("note") == ["after $r"]


@pytest.mark.parametrize("kind", ["done", "retry"])
async def test_a_doubt_that_is_settled_sets_its_branch_and_its_equals_going(
    asked: tuple[Runs, dict[str, Any]], services: Opened, rung: list[str], desk: Desk, kind: str
) -> None:
    runs, row = asked

    await decide(services, row["id"], kind)
    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "completed"
    assert set((await stands(runs)).values()) == {"done"}
    assert rung.count(row["effect_key"]) == {"done": 1, "retry": 2}[kind]
    assert len(set(rung)) == 3
    assert desk.calls("note") == ["after $r", "needs r"]
    assert report["usage"]["tool_calls"] == 6


async def test_one_that_is_given_up_ends_its_branch_and_an_equal_call_is_the_same_question(
    asked: tuple[Runs, dict[str, Any]], services: Opened, rung: list[str], desk: Desk
) -> None:
    runs, row = asked

    await decide(services, row["id"], "abandon")
    report = await runs.resume("t", context=Context())
    [second] = [one for one in report["approvals"] if one["status"] == "pending"]
    assert (second["effect_key"], len(rung)) == (row["effect_key"], 2)
    await decide(services, second["id"], "abandon")
    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "completed"
    stood = await stands(runs)
    assert (stood["r"], stood["again"], stood["m"]) == ("refused", "refused", "open")
    assert len(rung) == 2
    assert desk.calls("note") == ["after $r"]


async def test_a_sub_tasks_calls_count_towards_the_limits_on_single_tools(
    runs: Runs, script: Script, desk: Desk
) -> None:
    """What the plan's own tasks will still call is set aside for them."""
    desk.gates["own"] = asyncio.Event()
    tasks = [
        task("a", "lookup", id="own"),
        task("s", "react", task="Look.", max_iterations=3),
        task("z", "lookup", "s", id="late"),
    ]
    turn = {"tool_calls": [{"name": "lookup", "args": {"id": f"sub{number}"}} for number in range(2)]}
    lists = {"planner": [plan(*tasks)], "subtasks": {"s": [turn, turn, say("Found.")]}}
    context = script(say("Done."), lists=lists, tool_limits="lookup=3")

    running = asyncio.create_task(runs.start("go", thread_id="t", context=context, graph="plan"))
    while "late" not in desk.calls("lookup"):
        await asyncio.sleep(0)
        assert not running.done()
    desk.gates["own"].set()
    report = await running

    assert (report["outcome"], desk.calls("lookup")) == ("completed", ["own", "sub0", "late"])
    assert report["usage"]["tool_calls"] == 3


@pytest.mark.parametrize("kind", ["done", "reject"])
async def test_a_call_that_was_let_go_is_asked_about_again_when_the_rules_are_tighter_now(
    script: Script, services: Opened, desk: Desk, kind: str
) -> None:
    tighter: list[str] = []

    @tool(
        risk="high",
        untrusted_output=False,
        idempotent=False,
        raise_risk=lambda item: ("critical", "not any more") if item in tighter else None,
    )
    async def order(item: str) -> str:
        """Order something.

        Args:
            item: What.
        """
        raise AssertionError(f"ordered {item}")

    runs = runs_at(desk, services, order)
    tasks = [task("a", "order", item="lamp"), task("n", "note", "a", text="n"), task("o", "note", text="o")]
    context = script(say("Done."), lists={"planner": [plan(*tasks)]})
    [row] = (await runs.start("go", thread_id="t", context=context, graph="plan"))["approvals"]
    await decide(services, row["id"], "approve")
    tighter.append("lamp")

    report = await runs.resume("t", context=Context())

    [again] = [row for row in report["approvals"] if row["status"] == "pending"]
    assert (again["risk"], again["reason"]) == ("critical", "not any more")
    await decide(services, again["id"], kind)
    assert (await runs.resume("t", context=Context()))["outcome"] == "completed"
    assert desk.calls("note") == (["o", "n"] if kind == "done" else ["o"])


async def test_a_call_that_was_let_go_fails_when_its_tool_is_gone(
    runs: Runs, script: Script, services: Opened, desk: Desk
) -> None:
    @tool(risk="high", untrusted_output=False, idempotent=False)
    async def order(item: str) -> str:
        """Order something.

        Args:
            item: What.
        """
        raise AssertionError(f"ordered {item}")

    lists = {"planner": [plan(task("a", "order", item="lamp"), task("n", "note", "a", text="n")), plan()]}
    before = runs_at(desk, services, order)
    report = await before.start("go", thread_id="t", context=script(say("Done."), lists=lists), graph="plan")
    await decide(services, report["approvals"][0]["id"], "approve")

    await runs.resume("t", context=Context())

    assert await stands(runs) == {"a": "failed", "n": "open"}
    assert "there is no tool 'order'" in (await runs.known("t")).values["results"]["a"]["text"]
    assert desk.calls("note") == []
