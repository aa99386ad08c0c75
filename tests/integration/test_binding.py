"""A decision binds to one call of one thread, whatever is done to the state, and comes once."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.types import Command

from app.lifespan import Opened
from app.runs import Runs
from graph.context import Context
from graph.errors import AlreadyDecided
from tests.integration.conftest import DELETE, MAIL, ORDER, Script, calls, decide, ids_of, results_of, say

CONFIG: Any = {"configurable": {"thread_id": "t"}}
DEAR = {**ORDER[1], "quantity": 500, "unit_price": 1000}


async def _partly_decided(runs: Runs, script: Script, services: Opened) -> Any:
    """The order was approved, the mail is still asked about. Gives the checkpoint at which both were asked."""
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER, MAIL), say("done")))
    both = (await runs.known("t")).config
    await decide(services, ids_of(report)["send_email"], "reject")
    await runs.resume("t", context=Context())
    return both


async def _effects(services: Opened, thread: str = "t") -> list[str]:
    return [effect["tool"] for effect in await services.ledger.of_thread(thread)]


async def test_arguments_changed_after_the_question_are_asked_about_anew(
    runs: Runs, script: Script, services: Opened
) -> None:
    await _partly_decided(runs, script, services)
    asked = await runs.known("t")
    [row] = await services.approvals.find(thread_id="t", pending=True)
    await decide(services, row.id, "approve")
    [call] = asked.values["calls"]

    edited = await runs.react.aupdate_state(asked.config, {"calls": [{**call, "args": DEAR}]}, as_node="act")
    await runs.react.ainvoke(None, edited)

    [again] = await services.approvals.find(thread_id="t", pending=True)
    assert (again.args, await _effects(services)) == (DEAR, [])
    assert again.id != row.id


async def test_one_decision_lets_one_call_run_however_often_the_state_lists_it(
    runs: Runs, script: Script, services: Opened
) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done"), say("done")))
    asked = await runs.known("t")
    twice = await runs.react.aupdate_state(asked.config, {"calls": asked.values["calls"] * 2}, as_node="reason")
    await runs.react.ainvoke(None, twice)
    [row] = await services.approvals.find(thread_id="t", pending=True)
    await decide(services, row.id, "approve")

    report = await runs.resume("t", context=Context())

    [again] = ids_of(report).values()
    assert report["outcome"] == "awaiting_approval"
    assert again != row.id
    assert await _effects(services) == ["place_order"]


@pytest.mark.parametrize("naming", ["no row", "another call's row"])
async def test_a_call_that_the_state_says_may_run_is_asked_about_when_nobody_allowed_it(
    runs: Runs, script: Script, services: Opened, naming: str
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done"), say("done")))
    approved = ids_of(report)["place_order"]
    await decide(services, approved, "approve")
    snapshot = await runs.known("t")
    forged = {**snapshot.values["calls"][0], "args": DEAR, "risk": "low", "status": "ready"}
    if naming != "no row":
        forged["approval_id"] = approved

    edited = await runs.react.aupdate_state(snapshot.config, {"calls": [forged]}, as_node="approve")
    await runs.react.ainvoke(None, edited)

    [again] = await services.approvals.find(thread_id="t", pending=True)
    assert (again.args, again.risk, await _effects(services)) == (DEAR, "high", [])


async def test_a_critical_call_never_runs_and_a_broken_one_neither(
    runs: Runs, script: Script, services: Opened
) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done"), say("done")))
    snapshot = await runs.known("t")
    call = snapshot.values["calls"][0]
    critical = {**call, "id": "c1", "name": DELETE[0], "args": DELETE[1], "risk": "low", "status": "ready"}
    broken = {**call, "id": "c2", "args": {**ORDER[1], "extra": 1}, "status": "ready"}

    edited = await runs.react.aupdate_state(snapshot.config, {"calls": [critical, broken]}, as_node="approve")
    await runs.react.ainvoke(None, edited)

    assert [row.tool for row in await services.approvals.find(thread_id="t", pending=True)] == ["delete_records"]
    assert "takes no extra" in (await results_of(runs, "t"))["place_order"]
    assert await _effects(services) == []


async def test_a_replay_from_a_second_question_asks_anew_too(runs: Runs, script: Script, services: Opened) -> None:
    await _partly_decided(runs, script, services)
    second = (await runs.known("t")).config["configurable"]["checkpoint_id"]
    [row] = await services.approvals.find(thread_id="t", pending=True)
    await decide(services, row.id, "reject")
    await runs.resume("t", context=Context())

    report = await runs.replay("t", second)

    assert report["outcome"] == "awaiting_approval"
    assert ids_of(report)["place_order"] != row.id


async def test_a_copied_thread_asks_for_decisions_of_its_own(runs: Runs, script: Script, services: Opened) -> None:
    await _partly_decided(runs, script, services)
    await services.saver.acopy_thread("t", "copy")
    [original] = await services.approvals.find(thread_id="t", pending=True)
    asked = await runs.resume("copy", context=Context())

    await decide(services, ids_of(asked)["place_order"], "approve")
    await runs.resume("copy", context=Context())
    report = await runs.resume("t", context=Context())

    assert ids_of(asked)["place_order"] != original.id
    assert (await _effects(services, "copy"), await _effects(services)) == (["place_order"], [])
    assert ids_of(report) == {"place_order": original.id}


async def test_a_thread_copied_with_a_released_call_asks_again(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    await decide(services, ids_of(report)["place_order"], "approve")
    async for chunk in runs.react.astream(None, CONFIG, stream_mode="updates", interrupt_before=["act"]):
        assert "act" not in chunk
    await services.saver.acopy_thread("t", "copy")

    copied = await runs.resume("copy", context=Context())

    assert copied["outcome"] == "awaiting_approval"
    assert await _effects(services, "copy") == []


@pytest.mark.parametrize("by", ["interrupt", "checkpoint", "nothing"])
async def test_an_answer_to_what_was_decided_is_told_who_won_before_anything_runs(
    runs: Runs, script: Script, services: Opened, by: str
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    asked = await runs.known("t")
    await decide(services, ids_of(report)["place_order"], "reject")
    await runs.resume("t", context=Context())
    before = await runs.known("t")
    decisions: Any = {"decisions": [{"type": "approve"}]}
    answer = {asked.interrupts[0].id: decisions} if by == "interrupt" else decisions
    config: Any = {"configurable": {"thread_id": "t", **(asked.config["configurable"] if by == "checkpoint" else {})}}

    with pytest.raises(AlreadyDecided, match="already decided: rejected by ann at 20"):
        await runs.react.ainvoke(Command(resume=answer), config)

    assert (await runs.known("t")).config == before.config


async def test_an_answer_from_an_older_checkpoint_still_counts_for_what_is_open(
    runs: Runs, script: Script, services: Opened
) -> None:
    """Two tabs of agent-chat-ui: both show [order, mail], each answers with the checkpoint it was shown."""
    await runs.start("go", thread_id="t", context=script(calls(ORDER, MAIL), say("done")))
    shown = (await runs.known("t")).config
    await runs.react.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), shown)

    result = await runs.react.ainvoke(Command(resume={"decisions": [{"type": "reject"}, {"type": "reject"}]}), shown)

    rows = {row.tool: row.status for row in await services.approvals.find(thread_id="t")}
    assert rows == {"place_order": "approved", "send_email": "rejected"}
    assert await _effects(services) == ["place_order"]
    assert result["outcome"] == "completed"


async def test_a_decision_that_lost_is_told_so_in_the_run_it_came_with(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    asked = (await runs.known("t")).interrupts[0].id
    await decide(services, ids_of(report)["place_order"], "approve")

    result = await runs.react.ainvoke(Command(resume={asked: {"decisions": [{"type": "reject"}]}}), CONFIG)

    assert result["outcome"] == "completed"
    assert ["already decided: approved by ann" in line for line in result["lost"]] == [True]


@pytest.mark.parametrize("answer", ["yes", {}, {"decisions": [{"type": "approve", "approval_id": ["x"]}]}, [[1]]])
async def test_an_answer_that_is_none_is_asked_again_and_blocks_nothing(
    runs: Runs, script: Script, services: Opened, answer: Any
) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))

    await runs.react.ainvoke(Command(resume={(await runs.known("t")).interrupts[0].id: answer}), CONFIG)

    [again] = (await runs.known("t")).interrupts
    assert "Your last answer was not taken" in again.value["action_requests"][0]["description"]
    result = await runs.react.ainvoke(Command(resume={again.id: [{"type": "accept"}]}), CONFIG)
    assert result["outcome"] == "completed"


@pytest.mark.parametrize("node", ["act", None])
async def test_a_bare_answer_never_counts_for_what_was_changed_since_it_was_shown(
    runs: Runs, script: Script, services: Opened, node: str | None
) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    snapshot = await runs.known("t")
    dear = [{**snapshot.values["calls"][0], "args": DEAR}]
    await runs.react.aupdate_state(snapshot.config, {"calls": dear}, as_node=node)

    await runs.react.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)

    [open_row] = await services.approvals.find(thread_id="t", pending=True)
    [asked] = (await runs.known("t")).interrupts
    assert (open_row.args, await _effects(services)) == (DEAR, [])
    assert "given to another question" in asked.value["action_requests"][0]["description"]


async def test_a_bare_answer_to_what_nobody_was_asked_decides_nothing(
    runs: Runs, script: Script, services: Opened
) -> None:
    stream = runs.react.astream(
        {"messages": [HumanMessage("go")]},
        CONFIG,
        context=script(calls(ORDER), say("done")),
        interrupt_before=["approve"],
    )
    assert [chunk async for chunk in stream]

    await runs.react.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)

    assert [row.status for row in await services.approvals.find(thread_id="t")] == ["pending"]


async def test_an_old_loss_is_not_told_again_with_the_next_request(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    asked = (await runs.known("t")).interrupts[0].id
    await decide(services, ids_of(report)["place_order"], "approve")
    await runs.react.ainvoke(Command(resume={asked: {"decisions": [{"type": "reject"}]}}), CONFIG)

    result = await runs.react.ainvoke({"messages": [HumanMessage("and now?")]}, CONFIG)

    assert result["lost"] == []
