"""What a job does with a thread: releases what is due, goes on with what was decided, and else nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from langchain_core.messages import HumanMessage

from app.lifespan import Opened
from app.runs import Runs
from app.worker import advance
from checkpoints.approvals import PostgresApprovals
from graph.approvals import Approval
from graph.context import Context
from graph.errors import AlreadyDecided, ThreadBusy, ThreadTaken
from graph.react import react
from services.clock import FixedClock
from tests.integration.conftest import MAIL, ORDER, READ, Script, calls, decide, ids_of, results_of, say

DUE = "UPDATE approvals SET deadline = now() - %s::interval WHERE status = 'pending' AND deadline IS NOT NULL"
JOBS = "SELECT args ->> 'thread_id' AS thread, scheduled_at FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id"
CONFIG: Any = {"configurable": {"thread_id": "t"}}


async def _due(services: Opened, *, ago: str = "0 s") -> None:
    async with services.pool.connection() as connection:
        await connection.execute(DUE, (ago,))


async def _jobs(services: Opened) -> list[dict[str, Any]]:
    async with services.pool.connection() as connection:
        rows: list[dict[str, Any]] = await (await connection.execute(JOBS)).fetchall()
    return rows


async def _advance(services: Opened, runs: Runs) -> None:
    await advance(services, runs.advance, "t")


async def _nobody(thread_id: str) -> None:
    pytest.fail(f"went on with {thread_id}")


async def _sent(services: Opened) -> list[str]:
    return [effect["tool"] for effect in await services.ledger.of_thread("t")]


async def test_a_question_with_a_deadline_has_one_job_at_that_deadline(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(MAIL, ORDER), say("done")))
    await runs.resume("t", context=Context())  # asked again

    [row] = [row for row in await services.approvals.find(thread_id="t") if row.deadline]
    assert [(job["thread"], job["scheduled_at"]) for job in await _jobs(services)] == [("t", row.deadline)]
    assert report["outcome"] == "awaiting_approval"


async def test_a_question_without_a_deadline_has_none(runs: Runs, script: Script, services: Opened) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))

    assert await _jobs(services) == []


async def test_the_deadline_is_by_the_databases_clock_whatever_the_process_thinks(
    script: Script, services: Opened
) -> None:
    ahead = replace(services.services, clock=FixedClock(datetime.now(UTC) + timedelta(days=400)))

    async def engine() -> Opened:
        return replace(services, services=ahead)

    graph = react(engine, checkpointer=services.saver)
    await graph.ainvoke({"messages": [HumanMessage("go")]}, CONFIG, context=script(calls(MAIL), approval_seconds=60))

    [row] = await services.approvals.find(thread_id="t")
    assert row.deadline is not None
    assert row.created_at is not None
    assert row.deadline - row.created_at == timedelta(seconds=60)
    assert abs(row.created_at - datetime.now(UTC)) < timedelta(minutes=5)


async def test_a_job_that_comes_before_the_deadline_changes_nothing(
    runs: Runs, script: Script, services: Opened
) -> None:
    await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))

    await advance(services, _nobody, "t")

    assert [row.status for row in await services.approvals.find(thread_id="t")] == ["pending"]


async def test_what_is_due_runs_and_the_rest_is_asked_again(runs: Runs, script: Script, services: Opened) -> None:
    await runs.start("go", thread_id="t", context=script(calls(MAIL, ORDER), say("done")))
    await _due(services)

    await _advance(services, runs)

    rows = {row.tool: (row.status, row.decided_by) for row in await services.approvals.find(thread_id="t")}
    assert rows == {"send_email": ("approved", "timer"), "place_order": ("pending", None)}
    assert await _sent(services) == ["send_email"]


async def test_a_mail_written_before_anything_was_read_goes_out_though_something_was_read_since(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(READ, MAIL), say("done")))
    await _due(services)

    await _advance(services, runs)

    assert [row["risk"] for row in report["approvals"]] == ["medium"]
    assert await _sent(services) == ["send_email"]


async def test_a_job_that_comes_twice_sends_once(runs: Runs, script: Script, services: Opened) -> None:
    await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
    await _due(services)

    await _advance(services, runs)
    await advance(services, _nobody, "t")
    await _advance(services, runs)

    assert await _sent(services) == ["send_email"]
    assert [row.outcome for row in await services.runs.list()] == ["completed"]


async def test_what_expired_is_not_run_and_the_model_is_told(runs: Runs, script: Script, services: Opened) -> None:
    await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
    await _due(services, ago="2 days")

    await _advance(services, runs)

    assert "it expired and was not run" in (await results_of(runs, "t"))["send_email"]
    assert await _sent(services) == []


async def test_a_stale_timer_answers_no_question_of_a_fork(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
    asked = (await runs.known("t")).config["configurable"]["checkpoint_id"]
    await decide(services, ids_of(report)["send_email"], "reject")
    await runs.resume("t", context=Context())
    forked = await runs.replay("t", asked)

    await advance(services, _nobody, "t")  # the first question's timer

    assert forked["outcome"] == "awaiting_approval"
    assert {row.status for row in await services.approvals.find(thread_id="t")} == {"rejected", "pending"}
    assert await _sent(services) == []


async def test_a_question_that_was_replaced_is_closed_so_its_timer_finds_nothing_due(
    runs: Runs, script: Script, services: Opened
) -> None:
    await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
    [first] = await services.approvals.find(thread_id="t")
    asked = await runs.known("t")
    changed = [{**asked.values["calls"][0], "args": {**MAIL[1], "to": "bob@example.com"}}]
    await runs.react.ainvoke(None, await runs.react.aupdate_state(asked.config, {"calls": changed}, as_node="reason"))
    async with services.pool.connection() as connection:
        await connection.execute("UPDATE approvals SET deadline = now() WHERE id = %s", (first.id,))

    await advance(services, _nobody, "t")

    [second] = await services.approvals.find(thread_id="t", pending=True)
    assert (await services.approvals.get(first.id)).status == "cancelled"
    assert second.args["to"] == "bob@example.com"
    assert await _sent(services) == []


async def test_asked_again_on_a_fork_the_same_call_keeps_the_deadline_that_was_shown(
    runs: Runs, script: Script, services: Opened
) -> None:
    await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
    [first] = await services.approvals.find(thread_id="t")
    asked = (await runs.known("t")).config["configurable"]["checkpoint_id"]

    await runs.replay("t", asked)

    [row] = await services.approvals.find(thread_id="t")
    assert (row.id, row.deadline) == (first.id, first.deadline)
    assert row.interrupt_id != first.interrupt_id


async def test_a_busy_thread_is_looked_at_again_by_a_new_job(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    await decide(services, ids_of(report)["place_order"], "approve")
    before = await _jobs(services)

    async with services.hold("t"):
        await _advance(services, runs)

    assert len(await _jobs(services)) == len(before) + 1
    assert await _sent(services) == []


async def test_a_thread_that_was_taken_over_is_left_to_whoever_has_it(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    await decide(services, ids_of(report)["place_order"], "approve")
    before = await _jobs(services)

    async def taken(thread_id: str) -> None:
        raise ThreadTaken(thread_id)

    await advance(services, taken, "t")

    assert await _jobs(services) == before


async def test_a_run_that_was_cut_off_by_a_kill_goes_on(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    await decide(services, ids_of(report)["place_order"], "approve")
    async for _ in runs.react.astream(None, CONFIG, stream_mode="updates", interrupt_before=["act"]):
        pass  # as far as the approval; nothing is left to apply

    async with services.hold("t"):  # Postgres has not yet seen that the process is gone, whose lock it holds
        await _advance(services, runs)
    assert await _sent(services) == []
    await _advance(services, runs)

    assert await _sent(services) == ["place_order"]


async def test_a_run_that_a_person_stopped_is_not_gone_on_with(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    await decide(services, ids_of(report)["place_order"], "approve")
    async for _ in runs.react.astream(None, CONFIG, stream_mode="updates", interrupt_before=["act"]):
        pass
    await services.runs.cancelled("t")

    await advance(services, _nobody, "t")

    assert await _sent(services) == []


async def test_a_job_for_a_deleted_thread_finds_nothing(runs: Runs, script: Script, services: Opened) -> None:
    await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
    [row] = await services.approvals.find(thread_id="t")
    await services.saver.adelete_thread("t")

    await _advance(services, runs)

    with pytest.raises(AlreadyDecided, match="cancelled by ballast"):
        await decide(services, row.id, "approve")
    assert (await services.approvals.get(row.id)).decision == {"type": "cancel", "message": "the thread was deleted"}
    assert await services.runs.get("t") is None


async def test_of_eight_people_and_the_timer_one_wins_each_time(runs: Runs, script: Script, services: Opened) -> None:
    context = script(calls(MAIL), say("done"))
    threads = [f"t{number}" for number in range(25)]
    for thread in threads:
        await runs.start("go", thread_id=thread, context=context)
    await _due(services)
    kinds = ["approve", "reject", "cancel", "respond"] * 2

    async def person(row: Approval, number: int) -> Approval | AlreadyDecided:
        try:
            return await services.approvals.decide(row.id, {"type": kinds[number], "message": "x"}, by=f"p{number}")
        except AlreadyDecided as late:
            return late

    async def timer(row: Approval) -> Approval | None:
        released = await services.approvals.release_due(row.thread_id, overdue_s=86_400)
        return released[0] if released else None

    for row in await services.approvals.find(pending=True):
        ends = await asyncio.gather(timer(row), *(person(row, number) for number in range(8)))
        won = [one for one in ends if isinstance(one, Approval)]
        late = [one for one in ends if isinstance(one, AlreadyDecided)]
        assert len(won) == 1
        assert len(late) == (8 if won[0].decided_by == "timer" else 7)
        assert {(one.row.status, one.row.decided_by) for one in late} == {(won[0].status, won[0].decided_by)}
        await advance(services, runs.advance, row.thread_id)
        effects = await services.ledger.of_thread(row.thread_id)
        assert len(effects) == (1 if won[0].status == "approved" else 0)


async def test_of_several_decisions_all_are_taken_or_none(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(MAIL, ORDER), say("done")))
    ids = ids_of(report)
    await decide(services, ids["place_order"], "reject")
    both = {ids["send_email"]: {"type": "approve"}, ids["place_order"]: {"type": "approve"}}

    with pytest.raises(AlreadyDecided, match=f"{ids['place_order']} was already decided: rejected by ann"):
        await services.approvals.decide_all(both, by="bob")

    assert (await services.approvals.get(ids["send_email"])).status == "pending"


async def test_two_who_decide_the_same_calls_in_another_order_do_not_lock_each_other_out(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(MAIL, ORDER), say("done")))
    first, second = ids_of(report).values()

    async def both(names: list[str], by: str) -> bool:
        try:
            await services.approvals.decide_all({name: {"type": "reject"} for name in names}, by=by)
        except AlreadyDecided:
            return False
        return True

    ends = await asyncio.gather(
        *(both([first, second] if number % 2 else [second, first], f"p{number}") for number in range(10))
    )

    assert sum(ends) == 1


async def test_an_answer_and_the_timer_do_not_lock_each_other_out(runs: Runs, script: Script, services: Opened) -> None:
    mails = [("send_email", {**MAIL[1], "subject": f"{number}"}) for number in range(6)]
    await runs.start("go", thread_id="t", context=script(calls(*mails), say("done")))
    await _due(services)
    ids = sorted(row.id for row in await services.approvals.find(thread_id="t"))
    waits = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"

    async with services.pool.connection() as connection, connection.transaction():  # in the middle of taking an answer
        await connection.execute("SELECT FROM approvals WHERE id = %s FOR UPDATE", (ids[0],))
        timer = asyncio.create_task(services.approvals.release_due("t", overdue_s=60))
        async with asyncio.timeout(20):
            while not (await (await connection.execute(waits)).fetchone() or {"n": 0})["n"]:
                pass
        await connection.execute("SELECT FROM approvals WHERE id = ANY(%s) ORDER BY id FOR UPDATE", (ids,))

    assert {row.status for row in await timer} == {"approved"}


async def test_a_decision_by_whoever_goes_on_itself_leaves_the_thread_to_them_for_a_while(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))

    await services.approvals.decide(ids_of(report)["place_order"], {"type": "approve"}, by="ann", grace_s=30)

    [job] = await _jobs(services)
    row = await services.approvals.get(ids_of(report)["place_order"])
    assert row.decided_at is not None
    assert job["scheduled_at"] == row.decided_at + timedelta(seconds=30)


async def test_the_log_has_each_request_view_and_decision_and_can_not_be_changed(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    approval = ids_of(report)["place_order"]
    await services.audit.viewed([approval], by="bob")
    edited = {**ORDER[1], "quantity": 3}
    await decide(services, approval, "edit", args=edited)

    told = [(one.actor, one.action, one.status) for one in reversed(await services.audit.list(thread_id="t"))]
    asked, seen, decided = [one.args_sha256 for one in reversed(await services.audit.list(thread_id="t"))]
    assert told[1:] == [("bob", "view", "pending"), ("ann", "decision", "edited")]
    assert told[0][1:] == ("request", "pending")
    assert asked == seen != decided
    for query in ("DELETE FROM audit", "UPDATE audit SET actor = 'eve'", "TRUNCATE audit"):
        async with services.pool.connection() as connection:
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                await connection.execute(query)


async def test_a_run_is_listed_with_who_asked_and_how_it_stands(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("order\nlamps \0", thread_id="t", context=script(calls(ORDER), say("done")))
    waiting = await services.runs.get("t")
    await decide(services, ids_of(report)["place_order"], "approve")
    await _advance(services, runs)

    [listed] = await services.runs.list()
    assert waiting is not None
    assert (waiting.outcome, waiting.task, listed.outcome) == ("awaiting_approval", "order lamps", "completed")
    assert (listed.tool_calls, listed.iterations) == (1, 2)
    [row] = await services.approvals.find(thread_id="t")
    assert row.requester == listed.owner == listed.requester != ""


async def test_runs_are_listed_by_owner_and_page_by_page(services: Opened) -> None:
    for number in range(5):
        await services.runs.begun(f"t{number}", graph="react", sender="ann" if number % 2 else "bob", task="go")

    first = await services.runs.list(limit=2)
    rest = await services.runs.list(before=first[-1])

    assert [row.thread_id for row in [*first, *rest]] == ["t4", "t3", "t2", "t1", "t0"]
    assert [row.thread_id for row in await services.runs.list(owner="ann")] == ["t3", "t1"]


async def test_approvals_know_where_their_arguments_came_from(runs: Runs, script: Script, services: Opened) -> None:
    mail = ("send_email", {"to": "ann@example.com", "subject": "Made up", "body": "Travel policy"})
    read = ("read_file", {"path": "docs/travel-policy.md"})
    await runs.start("write to ANN@example.com", thread_id="t", context=script(calls(read), calls(mail), say("done")))

    [row] = await services.approvals.find(thread_id="t")
    assert row.origins == {
        "to": ["the request"],
        "subject": ["the model"],
        "body": ["read_file(path='docs/travel-policy.md') (from outside)"],
    }


async def test_threads_are_not_held_up_by_who_holds_another(services: Opened) -> None:
    approvals = PostgresApprovals(services.pool)
    async with services.hold("other"):
        with pytest.raises(ThreadBusy):
            async with services.hold("other"):
                pass
        assert await approvals.release_due("t", overdue_s=60) == []
