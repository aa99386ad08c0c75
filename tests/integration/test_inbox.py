"""Approvals listed by kind and page by page, and what a thread's steps wrote."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Json

from app.lifespan import Opened
from app.runs import Runs
from app.timeline import timeline
from checkpoints.database import Pool
from checkpoints.inbox import PostgresInbox
from tests.integration.conftest import READ, TRUSTED, Script, calls, say

ASK = """
INSERT INTO approvals
    (id, thread_id, interrupt_id, call_id, tool, args, risk, reason, requester, effect_key, created_at)
VALUES (%(id)s, 't', 'i', 'c', %(tool)s, %(args)s, %(risk)s, '', %(requester)s, %(effect_key)s,
        now() - make_interval(secs => %(ago)s))
"""


async def _ask(pool: Pool, name: str, **fields: Any) -> None:
    row = {"tool": "pay", "args": Json({}), "risk": "high", "requester": "ann", "effect_key": None, "ago": 0}
    async with pool.connection() as connection:
        await connection.execute(ASK, {**row, "id": name, **fields})


async def _ids(inbox: PostgresInbox, **asked: Any) -> list[str]:
    status = asked.pop("status", "pending")
    kinds = await inbox.kinds(status=status)
    return [row.id for row in await inbox.page(kinds, status=status, **{"limit": 100, **asked})]


async def test_a_kind_is_what_rights_can_tell_apart(pool: Pool) -> None:
    for name, fields in {
        "a": {}, "b": {}, "c": {"tool": "mail"}, "d": {"risk": "medium"}, "e": {"effect_key": "k"},
        "f": {"requester": "bob"}, "g": {"requester": ""}, "h": {"requester": "eve"},
    }.items():  # fmt: skip
        await _ask(pool, name, **fields)

    kinds = await PostgresInbox(pool, person="bob").kinds()

    found = {kind.sample.id: kind.count for kind in kinds}
    assert found == {"a": 3, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1}  # ann's and eve's are the same to bob
    assert all(kind.at.tzinfo for kind in kinds)


async def test_only_the_kinds_that_are_named_are_listed(pool: Pool) -> None:
    await _ask(pool, "a")
    await _ask(pool, "b", tool="mail")
    await _ask(pool, "c", effect_key="k")
    inbox = PostgresInbox(pool, person="ann")
    kinds = await inbox.kinds()

    for kind in kinds:
        assert [row.id for row in await inbox.page([kind], limit=9)] == [kind.sample.id]
    assert await inbox.page([], limit=9) == []


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_follow_each_other_also_where_many_were_asked_at_once(pool: Pool, *, newest_first: bool) -> None:
    async with pool.connection() as connection, connection.transaction():
        row = {"tool": "pay", "args": Json({}), "risk": "high", "requester": "ann", "effect_key": None, "ago": 0}
        for at in range(7):  # one transaction, one time
            await connection.execute(ASK, {**row, "id": f"ap-{at}"})
    inbox = PostgresInbox(pool, person="ann")
    seen: list[str] = []
    while page := await _ids(inbox, limit=3, beyond=seen[-1] if seen else None, newest_first=newest_first):
        seen += page

    wanted = [f"ap-{at}" for at in range(7)]
    assert seen == (wanted[::-1] if newest_first else wanted)
    assert await _ids(inbox, beyond="none") == []


async def test_lists_are_of_one_status_or_of_all(pool: Pool) -> None:
    await _ask(pool, "a", ago=10)
    await _ask(pool, "b")
    async with pool.connection() as connection:
        await connection.execute("UPDATE approvals SET status = 'done', decided_at = now() WHERE id = 'a'")
    inbox = PostgresInbox(pool, person="ann")

    assert await _ids(inbox) == ["b"]
    assert await _ids(inbox, status="done") == ["a"]
    assert await _ids(inbox, status=None) == ["a", "b"]


async def test_a_timeline_tells_what_each_step_did_and_rebuilds_no_state(runs: Runs, script: Script) -> None:
    await runs.start("hello", thread_id="t", context=script(calls(READ), calls(TRUSTED), say("bye")))

    line = await timeline(runs.react, runs.opened.saver, "t", limit=100)

    told = [(step.node, [entry.kind for entry in step.entries]) for step in line.steps]
    assert told == [
        ("input", []),
        ("request", ["request"]),
        ("reason", ["call"]),
        ("act", ["outside"]),
        ("sanitize", ["result"]),
        ("reason", ["call"]),
        ("act", ["result"]),
        ("reason", ["says", "end"]),
        ("finish", []),
    ]
    assert [step.spent is not None for step in line.steps if step.node == "reason"] == [True, True, True]
    assert (line.total, line.earlier, line.latest) == (9, None, True)


async def test_a_timeline_is_read_in_stretches(runs: Runs, script: Script) -> None:
    await runs.start("hello", thread_id="t", context=script(calls(TRUSTED), say("bye")))
    saver = runs.opened.saver
    whole = await timeline(runs.react, saver, "t", limit=100)

    last = await timeline(runs.react, saver, "t", limit=4)
    first = await timeline(runs.react, saver, "t", limit=4, until=last.earlier)

    assert [*first.steps, *last.steps] == whole.steps
    assert (last.latest, first.latest, first.earlier) == (True, False, None)


async def test_a_branch_that_a_replay_left_is_told_from_the_one_it_took(runs: Runs, script: Script) -> None:
    await runs.start("hello", thread_id="t", context=script(calls(TRUSTED), say("bye")))
    before = await timeline(runs.react, runs.opened.saver, "t", limit=100)
    act = next(step for step in before.steps if step.next == ["act"])

    await runs.replay("t", act.checkpoint_id)

    after = await timeline(runs.react, runs.opened.saver, "t", limit=100)
    left = [step.node for step in after.steps if not step.current]
    assert left == ["act", "reason", "finish"]
    assert after.steps[-1].current


async def test_a_thread_that_is_not_there_has_no_steps(services: Opened, runs: Runs) -> None:
    line = await timeline(runs.react, services.saver, "none", limit=5)

    assert (line.steps, line.total, line.latest) == ([], 0, True)
