from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.types import Command

from app.lifespan import Opened
from app.runs import Runs
from graph.context import Context
from graph.errors import AlreadyDecided, ThreadWaiting
from tests.integration.conftest import (
    DELETE,
    MAIL,
    ORDER,
    READ,
    Script,
    calls,
    decide,
    ids_of,
    messages_of,
    results_of,
    say,
)


async def test_calls_that_need_no_approval_do_not_wait_for_those_that_do(runs: Runs, script: Script) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER, READ, MAIL), say("done")))

    assert report["outcome"] == "awaiting_approval"
    assert set(await results_of(runs, "t")) == {"read_file"}
    assert set(ids_of(report)) == {"place_order", "send_email"}
    assert len({row["interrupt_id"] for row in report["approvals"]}) == 1


async def test_a_message_whose_notice_is_there_already_asks_again_and_no_more(
    runs: Runs, script: Script, services: Opened
) -> None:
    """A client names its messages itself: a notice put in another's place left the person's the newest, for ever."""
    context = script(calls(MAIL), say("done"))
    await runs.start("go", thread_id="t", context=context)
    sent: Any = {"messages": [AIMessage("x", id="notice-m"), HumanMessage("hello?", id="m")]}

    async with asyncio.timeout(20):
        await runs.react.ainvoke(sent, {"configurable": {"thread_id": "t"}}, context=context)

    [row] = await services.approvals.find(thread_id="t")
    assert row.status == "pending"
    assert len((await runs.known("t")).interrupts) == 1


async def test_what_is_decided_runs_at_once_and_the_rest_is_asked_again(
    runs: Runs, script: Script, services: Opened
) -> None:
    first = await runs.start("go", thread_id="t", context=script(calls(ORDER, MAIL), say("done")))
    await decide(services, ids_of(first)["send_email"], "approve")

    second = await runs.resume("t", context=Context())

    assert "send_email" in await results_of(runs, "t")
    assert set(ids_of(second)) == {"place_order"}
    assert ids_of(second) == {"place_order": ids_of(first)["place_order"]}
    again = {row["tool"]: row["interrupt_id"] for row in second["approvals"]}
    assert again["place_order"] != first["approvals"][0]["interrupt_id"]

    await decide(services, ids_of(second)["place_order"], "approve")
    assert (await runs.resume("t", context=Context()))["outcome"] == "completed"


async def test_an_answer_counts_for_the_calls_its_sender_was_shown(
    runs: Runs, script: Script, services: Opened
) -> None:
    """A page that showed [order, mail] answers after the mail was decided elsewhere: never shift positions."""
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER, MAIL), say("done")))
    shown = await runs.known("t")
    config: Any = {"configurable": {"thread_id": "t", **shown.config["configurable"]}}
    await decide(services, ids_of(report)["place_order"], "reject")
    await runs.resume("t", context=Context())  # now only the mail is pending

    answer = {"decisions": [{"type": "approve"}]}  # meant for the order, which stood first
    await runs.react.ainvoke(Command(resume=answer), config)

    rows = {row.tool: row.status for row in await services.approvals.find(thread_id="t")}
    assert rows == {"place_order": "rejected", "send_email": "pending"}


async def test_every_kind_of_decision_reaches_the_model(runs: Runs, script: Script, services: Opened) -> None:
    turns = [calls(ORDER), calls(MAIL), calls(DELETE), calls(ORDER), say("done")]
    ids = ids_of(await runs.start("go", thread_id="t", context=script(*turns)))
    await decide(services, ids["place_order"], "reject", message="too dear")
    ids = ids_of(await runs.resume("t", context=Context()))
    await decide(services, ids["send_email"], "respond", message="I phoned her")
    report = await runs.resume("t", context=Context())
    assert report["outcome"] == "handed_to_person"
    await decide(services, ids_of(report)["delete_records"], "done", message="deleted by hand")
    ids = ids_of(await runs.resume("t", context=Context()))
    await decide(services, ids["place_order"], "edit", args={**ORDER[1], "quantity": 1})

    report = await runs.resume("t", context=Context())

    said = [str(m.content) for m in await messages_of(runs, "t") if isinstance(m, ToolMessage)]
    assert report["outcome"] == "completed"
    assert "too dear" in said[0]
    assert said[1] == "I phoned her"
    assert "deleted by hand" in said[2]
    assert "A person changed the arguments" in said[3]
    assert "placed: 1 x Desk lamp" in said[3]


async def test_a_cancelled_call_stops_the_run_and_its_other_questions(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER, MAIL), say("never said")))
    await decide(services, ids_of(report)["send_email"], "cancel")

    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "cancelled"
    assert {row["status"] for row in report["approvals"]} == {"cancelled"}
    assert await services.ledger.of_thread("t") == []


async def test_a_second_decision_is_told_it_lost_and_to_whom(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    await decide(services, ids_of(report)["place_order"], "approve")

    with pytest.raises(AlreadyDecided, match="approved by ann at 20"):
        await decide(services, ids_of(report)["place_order"], "reject")


async def test_resuming_with_nothing_decided_asks_the_same_again(runs: Runs, script: Script) -> None:
    first = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))

    second = await runs.resume("t", context=Context())

    assert second["approvals"] == first["approvals"]
    assert second["outcome"] == "awaiting_approval"


async def test_a_new_request_on_a_waiting_thread_is_refused(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))

    with pytest.raises(ThreadWaiting, match="ballast approvals list"):
        await runs.start("something else", thread_id="t", context=script(say("x")))


async def test_a_message_from_the_server_does_not_discard_the_question(
    runs: Runs, script: Script, services: Opened
) -> None:
    before = await runs.start("go", thread_id="t", context=script(calls(ORDER, MAIL), say("done")))
    await decide(services, ids_of(before)["send_email"], "reject")

    await runs.react.ainvoke({"messages": [HumanMessage("hurry")]}, {"configurable": {"thread_id": "t"}})

    snapshot = await runs.known("t")
    rows = {row.tool: row for row in await services.approvals.find(thread_id="t")}
    assert snapshot.next == ("approve",)
    assert {tool: row.status for tool, row in rows.items()} == {"place_order": "pending", "send_email": "rejected"}
    assert rows["place_order"].id == ids_of(before)["place_order"]
    assert rows["place_order"].interrupt_id == snapshot.interrupts[0].id


async def test_a_bare_answer_counts_while_it_can_mean_one_question_only(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(calls(MAIL), calls(ORDER), say("done")))
    config: Any = {"configurable": {"thread_id": "t"}}

    await runs.react.ainvoke(Command(resume=[{"type": "accept"}]), config)

    asked = await runs.known("t")
    assert [action["name"] for action in asked.interrupts[0].value["action_requests"]] == ["place_order"]
    await runs.react.ainvoke(Command(resume=[{"type": "accept"}]), config)

    [again] = (await runs.known("t")).interrupts
    assert "asked 2 times since its last request" in again.value["action_requests"][0]["description"]
    assert [row.tool for row in await runs.opened.approvals.find(thread_id="t", pending=True)] == ["place_order"]

    by_id = {again.id: {"decisions": [{"type": "approve"}]}}
    result = await runs.react.ainvoke(Command(resume=by_id), config)
    assert result["outcome"] == "completed"


async def test_a_bare_answer_to_what_a_replay_replaced_is_refused(runs: Runs, script: Script) -> None:
    """A page still shows [mail]; the thread was replayed and now asks about something else."""
    await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
    found = await runs.find_checkpoint("t", node="reason", checkpoint_id=None)
    again = await runs.replay("t", found.config["configurable"]["checkpoint_id"])

    await runs.react.ainvoke(Command(resume=[{"type": "accept"}]), {"configurable": {"thread_id": "t"}})

    assert [row["status"] for row in again["approvals"]] == ["pending"]
    assert [row.status for row in await runs.opened.approvals.find(thread_id="t")] == ["pending"]


async def test_an_answer_may_name_its_calls_in_any_order(runs: Runs, script: Script) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER, MAIL, DELETE), say("done")))
    ids = ids_of(report)
    snapshot = await runs.known("t")
    answer = {
        "decisions": [
            {"type": "reject", "approval_id": ids["delete_records"], "message": "no"},
            {"type": "approve", "approval_id": ids["place_order"]},
            {"type": "approve", "approval_id": "ap-of-another-thread"},
        ]
    }

    await runs.react.ainvoke(Command(resume={snapshot.interrupts[0].id: answer}), {"configurable": {"thread_id": "t"}})

    rows = {row.tool: row.status for row in await runs.opened.approvals.find(thread_id="t")}
    assert rows == {"place_order": "approved", "send_email": "pending", "delete_records": "rejected"}
    assert "placed" in (await results_of(runs, "t"))["place_order"]


async def test_an_answer_reaches_the_rest_when_a_part_was_decided_elsewhere(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER, MAIL), say("done")))
    asked = (await runs.known("t")).interrupts[0].id
    await decide(services, ids_of(report)["place_order"], "reject")
    answer = {asked: {"decisions": [{"type": "approve"}, {"type": "approve"}]}}

    await runs.react.ainvoke(Command(resume=answer), {"configurable": {"thread_id": "t"}})

    rows = {row.tool: row.status for row in await services.approvals.find(thread_id="t")}
    assert rows == {"place_order": "rejected", "send_email": "approved"}
    assert [e["tool"] for e in await services.ledger.of_thread("t")] == ["send_email"]


async def test_an_answer_that_can_not_be_taken_is_asked_again_saying_why(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    asked = (await runs.known("t")).interrupts[0].id
    edit = {"type": "edit", "edited_action": {"name": "place_order", "args": {**ORDER[1], "quantity": "many"}}}

    await runs.react.ainvoke(Command(resume={asked: {"decisions": [edit]}}), {"configurable": {"thread_id": "t"}})

    [again] = (await runs.known("t")).interrupts
    [action] = again.value["action_requests"]
    assert again.id != asked
    assert action["args"] == ORDER[1]
    assert "Your last answer was not taken: the arguments do not fit place_order: quantity" in action["description"]


async def test_an_edit_from_a_form_is_coerced_by_the_tools_schema(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    asked = (await runs.known("t")).interrupts[0].id
    args = {"item": "Desk lamp", "quantity": "3", "unit_price": "38.25"}

    await runs.react.ainvoke(
        Command(resume={asked: [{"type": "edit", "args": {"action": "place_order", "args": args}}]}),
        {"configurable": {"thread_id": "t"}},
    )

    assert "placed: 3 x Desk lamp at 38.25" in (await results_of(runs, "t"))["place_order"]
