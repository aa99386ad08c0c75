from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from checkpoints.approvals import PostgresApprovals
from checkpoints.database import Pool
from graph.approvals import Approval, Question
from graph.errors import AlreadyDecided, NotFound
from graph.state import Call

WINDOW_S = 300


@pytest.fixture
def approvals(pool: Pool) -> PostgresApprovals:
    return PostgresApprovals(pool)


def _call(call_id: str, **more: Any) -> Call:
    call = Call(id=call_id, name="send_email", args={"to": "a", "body": "b"}, risk="medium", reason="", status="ask")
    return {**call, **more}  # type: ignore[typeddict-item]  # fields of a call


def _at(checkpoint: str, *, thread: str = "t", turn: str = "first") -> Question:
    return Question(
        thread_id=thread, checkpoint_id=checkpoint, interrupt_id=f"i-{checkpoint}", turn=turn, window_s=WINDOW_S
    )


async def _decide(approvals: PostgresApprovals, row: Approval, kind: str, by: str = "ann") -> Approval:
    return await approvals.decide(row.id, {"type": kind}, by=by)


async def test_of_twenty_deciders_one_wins_and_the_others_are_told_which(approvals: PostgresApprovals) -> None:
    [row] = await approvals.ask([_call("c1")], _at("1"))
    kinds = ["approve", "reject", "cancel", "respond"] * 5

    ends = await asyncio.gather(
        *(_decide(approvals, row, kind, by=f"person {number}") for number, kind in enumerate(kinds)),
        return_exceptions=True,
    )

    [won] = [one for one in ends if isinstance(one, Approval)]
    lost = [one for one in ends if isinstance(one, AlreadyDecided)]
    assert len(lost) == 19
    assert {(one.row.status, one.row.decided_by) for one in lost} == {(won.status, won.decided_by)}
    assert (await approvals.get(row.id)).decided_by == won.decided_by


async def test_a_decision_on_nothing_is_refused(approvals: PostgresApprovals) -> None:
    with pytest.raises(NotFound, match="no approval 'ap-0'"):
        await approvals.decide("ap-0", {"type": "approve"}, by="ann")


async def test_asked_again_at_the_same_checkpoint_the_list_is_the_one_that_was_shown(
    approvals: PostgresApprovals,
) -> None:
    first = await approvals.ask([_call("c1"), _call("c2")], _at("1"))
    await _decide(approvals, first[0], "approve")

    again = await approvals.ask([_call("c1"), _call("c2")], _at("1"))

    assert [row.id for row in again] == [row.id for row in first]
    assert [row.status for row in again] == ["approved", "pending"]


async def test_a_call_keeps_its_row_until_a_run_has_applied_the_decision(approvals: PostgresApprovals) -> None:
    [first] = await approvals.ask([_call("c1")], _at("1"))
    [moved] = await approvals.ask([_call("c1")], _at("2"))
    await _decide(approvals, first, "approve")
    [decided] = await approvals.ask([_call("c1")], _at("3"))
    await approvals.apply([first.id])
    [replayed] = await approvals.ask([_call("c1")], _at("4"))

    assert first.id == moved.id == decided.id
    assert (moved.interrupt_id, decided.interrupt_id) == ("i-2", "i-2")
    assert decided.status == "approved"
    assert replayed.id != first.id
    assert replayed.status == "pending"


async def test_another_call_under_the_same_id_has_a_row_of_its_own(approvals: PostgresApprovals) -> None:
    [first] = await approvals.ask([_call("c1")], _at("1"))
    await _decide(approvals, first, "approve")

    [other] = await approvals.ask([_call("c1", args={"to": "eve", "body": "b"})], _at("2"))

    assert other.id != first.id
    assert other.status == "pending"


async def test_what_a_thread_no_longer_asks_is_closed(approvals: PostgresApprovals) -> None:
    [left] = await approvals.ask([_call("c1")], _at("1"))
    [elsewhere] = await approvals.ask([_call("c1")], _at("1", thread="another"))

    await approvals.ask([_call("c2")], _at("2"))

    closed = await approvals.get(left.id)
    assert (closed.status, closed.decided_by) == ("cancelled", "ballast")
    assert closed.decision is not None
    assert "another way" in closed.decision["message"]
    assert (await approvals.get(elsewhere.id)).status == "pending"


async def test_back_at_a_question_that_is_decided_what_came_after_it_is_closed(approvals: PostgresApprovals) -> None:
    calls = [_call(f"c{number}") for number in range(5)]
    asked = await approvals.ask(calls, _at("1"))
    for row in asked:
        await _decide(approvals, row, "approve")
    [later] = await approvals.ask([_call("later")], _at("2"))

    again = await approvals.ask(calls, _at("1"))

    assert [(row.id, row.status) for row in again] == [(row.id, "approved") for row in asked]
    assert (await approvals.get(later.id)).status == "cancelled"


async def test_a_call_that_an_edited_state_lists_twice_is_asked_about_as_often(approvals: PostgresApprovals) -> None:
    calls = [_call("c1"), _call("c1")]
    [asked, twice] = await approvals.ask(calls, _at("1"))

    assert [row.id for row in await approvals.ask(calls, _at("1"))] == [asked.id, twice.id]
    await _decide(approvals, asked, "approve")
    assert [row.status for row in await approvals.ask(calls, _at("1"))] == ["approved", "approved"]


async def test_closing_leaves_what_was_decided(approvals: PostgresApprovals) -> None:
    rows = await approvals.ask([_call("c1"), _call("c2")], _at("1"))
    await _decide(approvals, rows[0], "reject")

    await approvals.close("t")

    assert [(await approvals.get(row.id)).status for row in rows] == ["rejected", "cancelled"]


async def test_lists_shown_are_counted_by_turn(approvals: PostgresApprovals) -> None:
    assert await approvals.times_asked("t") == 0
    await approvals.ask([_call("c1")], _at("1"))
    await approvals.ask([_call("c1")], _at("1"))
    assert await approvals.times_asked("t") == 1
    await approvals.ask([_call("c2")], _at("2"))
    assert await approvals.times_asked("t") == 2
    await approvals.ask([_call("c3")], _at("3", turn="second"))
    assert await approvals.times_asked("t") == 1


async def test_arguments_are_kept_in_their_own_order_and_whatever_they_hold(approvals: PostgresApprovals) -> None:
    args = {"to": "ann@example.com", "body": "nul \0 and \ud800", "about": {"z": 1, "a": [1.0, None]}}
    [row] = await approvals.ask([_call("c1", args=args)], _at("1"))

    assert row.args == args
    assert list(row.args) == ["to", "body", "about"]


async def test_a_reason_may_quote_whatever_the_arguments_hold(approvals: PostgresApprovals) -> None:
    [row] = await approvals.ask([_call("c1", reason="writes to nul \0, half a pair \ud800")], _at("1"))

    assert row.reason == "writes to nul \\0, half a pair \\ud800"


async def test_only_medium_calls_have_a_deadline(approvals: PostgresApprovals) -> None:
    rows = await approvals.ask([_call("c1"), _call("c2", risk="high")], _at("1"))

    [asked, without] = rows
    assert asked.created_at is not None
    assert asked.deadline == asked.created_at + timedelta(seconds=WINDOW_S)
    assert without.deadline is None


async def test_pending_ones_are_found_first(approvals: PostgresApprovals) -> None:
    rows = await approvals.ask([_call("c1"), _call("c2")], _at("1"))
    await _decide(approvals, rows[0], "approve")
    await approvals.ask([_call("c1")], _at("1", thread="another"))

    assert [row.call_id for row in await approvals.find(thread_id="t")] == ["c2", "c1"]
    assert [row.thread_id for row in await approvals.find(pending=True)] == ["t", "another"]
