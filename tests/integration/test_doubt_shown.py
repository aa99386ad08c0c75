"""How effects in doubt are shown and settled outside a run, and the late truth of a slow holder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.lifespan import Opened
from app.replay import preview
from app.runs import Runs
from app.show import approvals, effects
from checkpoints.database import Pool
from checkpoints.ledger import Database, Ending, Intent, Ledger
from graph.errors import InvalidDecision
from nodes.decisions import checked, match, request
from tests.integration.conftest import MAIL, Script, say
from tests.integration.test_doubt import Bell, _asked
from tests.integration.tools_bench import bench_on

WANTED = Intent(thread_id="t", tool="send", args={}, digest="d", occurrence=0)


@pytest.mark.parametrize(("state", "then"), [("unknown", "done"), ("failed", "failed")])
async def test_a_slow_holder_tells_the_truth_unless_it_was_settled(pool: Pool, state: str, then: str) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow(_: str, __: Database) -> tuple[Ending, str]:
        begun.set()
        await end.wait()
        return "done", "it happened"

    running = asyncio.create_task(Ledger(pool).run_once(slow, WANTED, transactional=False))
    await begun.wait()
    async with pool.connection() as connection:
        await connection.execute("UPDATE effects SET state = %s", (state,))
    end.set()

    recorded = await running

    [row] = await Ledger(pool).of_thread("t")
    assert (recorded.state, row["state"]) == (then, then)


async def test_the_request_says_what_each_answer_means_and_an_approve_from_elsewhere_is_refused(
    services: Opened, script: Script
) -> None:
    runs = Bell().engine(services)
    asked = await _asked(runs, script)
    row = await services.approvals.get(asked["id"])

    shown = request([row])
    kinds = [
        d["type"] for kind in ("approve", "respond", "reject") for _, d in match([{"type": kind}], [row]).decisions
    ]

    assert shown["review_configs"][0]["allowed_decisions"] == ["approve", "respond", "reject"]
    assert "retry" in shown["action_requests"][0]["description"]
    assert kinds == ["retry", "done", "abandon"]
    for kind in ("approve", "edit"):
        with pytest.raises(InvalidDecision, match="use one of done, retry, abandon, cancel"):
            await checked(row, {"type": kind, "args": {}}, services.services.tools)


async def test_lists_say_what_to_do_and_a_replay_can_be_previewed_without_the_tool(
    services: Opened, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Bell().engine(services)
    asked = await _asked(runs, script)
    found = await runs.find_checkpoint("t", node="act", checkpoint_id=None)

    effects("t")(await services.ledger.of_thread("t"))
    approvals([{**asked, "thread_id": "t"}])
    dry = await preview(services, found)

    out = capsys.readouterr().out
    assert "ballast approvals list --thread t" in out
    assert "pending, in doubt" in out
    assert [call["tool"] for call in dry["calls"]] == ["ring"]


@pytest.mark.parametrize("folder", ["new", "cur", None])
async def test_a_mail_in_doubt_is_looked_for_in_the_outbox(pool: Pool, tmp_path: Path, folder: str | None) -> None:
    bench = bench_on(pool, tmp_path / "office")
    await bench.said(MAIL[0], **MAIL[1])
    [mail] = (bench.workspace / "outbox/new").iterdir()
    if folder == "cur":
        mail.rename(bench.workspace / "outbox/cur" / f"{mail.name}:2,S")
    if folder is None:
        mail.unlink()
    async with pool.connection() as connection:
        await connection.execute("UPDATE effects SET state = 'unknown'")

    assert await bench.said(MAIL[0], **MAIL[1]) == "sent to ann@example.com"

    [row] = await bench.ledger.of_thread("t")
    assert (row["state"], row["attempts"]) == ("done", 1 if folder else 2)


async def test_a_run_without_the_tool_is_listed(runs: Runs, script: Script, services: Opened) -> None:
    await runs.start("go", thread_id="t", context=script(say("done")))
    async with services.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO effects (key, thread_id, tool, args, state, holder) "
            "VALUES ('k', 't', 'gone', '{}', 'done', 'h')"
        )
    found: Any = await runs.known("t")

    assert (await preview(services, found))["effects_reused"][0]["tool"] == "gone"
