from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest
from langgraph.graph import END
from langgraph.types import Command

from app.lifespan import Opened
from app.runs import Runs
from graph.context import Context, LocalContext
from graph.errors import BadSetting, NotFound
from tests.integration.conftest import LIST, MAIL, ORDER, Script, calls, decide, ids_of, say


async def test_what_is_done_is_not_done_again_when_a_node_is_replayed(
    runs: Runs, script: Script, services: Opened, workspace: Path
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
    await decide(services, ids_of(report)["send_email"], "approve")
    await runs.resume("t", context=Context())
    before = [s.config["configurable"]["checkpoint_id"] async for s in runs.snapshots("t")]
    found = await runs.find_checkpoint("t", node="act", checkpoint_id=None)

    report = await runs.replay("t", found.config["configurable"]["checkpoint_id"])

    after = [s.config["configurable"]["checkpoint_id"] async for s in runs.snapshots("t")]
    assert report["outcome"] == "completed"
    assert len(list((workspace / "outbox/new").iterdir())) == 1
    assert [(e["state"], e["attempts"]) for e in await services.ledger.of_thread("t")] == [("done", 1)]
    assert set(before) < set(after)


async def test_a_question_that_was_closed_with_its_run_is_asked_anew_by_a_replay(runs: Runs, script: Script) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    await runs.react.ainvoke(Command(goto=END), {"configurable": {"thread_id": "t"}})

    again = await runs.replay("t", report["checkpoint_id"])

    assert again["outcome"] == "awaiting_approval"
    assert ids_of(again) != ids_of(report)


async def test_a_replay_from_the_question_asks_anew(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    await decide(services, ids_of(report)["place_order"], "reject")
    await runs.resume("t", context=Context())
    found = await runs.find_checkpoint("t", node="approve", checkpoint_id=None)

    report = await runs.replay("t", found.config["configurable"]["checkpoint_id"])

    assert report["outcome"] == "awaiting_approval"
    assert len(ids_of(report)) == 1


async def test_a_deliberate_second_identical_call_is_a_new_effect(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(ORDER, ORDER), say("done")))
    for row in report["approvals"]:
        await decide(services, row["id"], "approve")

    await runs.resume("t", context=Context())

    assert [e["state"] for e in await services.ledger.of_thread("t")] == ["done", "done"]


@pytest.mark.parametrize(
    ("node", "checkpoint", "said"),
    [
        ("launch", None, "no node 'launch': the graph has"),
        ("approve", None, "never reached it"),
        (None, "x", "no checkpoint 'x'"),
    ],
)
async def test_replaying_from_nowhere_is_refused(
    runs: Runs, script: Script, node: str | None, checkpoint: str | None, said: str
) -> None:
    await runs.start("go", thread_id="t", context=script(say("done")))

    with pytest.raises(NotFound, match=said):
        await runs.find_checkpoint("t", node=node, checkpoint_id=checkpoint)


async def test_an_unknown_thread_is_refused(runs: Runs) -> None:
    with pytest.raises(NotFound, match="no thread 'nobody'"):
        await runs.resume("nobody", context=Context())


async def test_a_resume_needs_no_flags_and_explicit_ones_win(runs: Runs, script: Script, services: Opened) -> None:
    context = script(calls(ORDER), calls(LIST), calls(LIST), say("done"), max_iterations=3)
    report = await runs.start("go", thread_id="t", context=context)
    await decide(services, ids_of(report)["place_order"], "approve")

    report = await runs.resume("t", context=Context(max_iterations=25))

    assert (report["outcome"], report["usage"]["iterations"]) == ("completed", 4)


async def test_a_thread_goes_on_with_its_own_chain_whatever_the_environment_says(
    runs: Runs, script: Script, services: Opened, tmp_path: Path
) -> None:
    await runs.start("go", thread_id="t", context=script(say("first"), say("second")))
    nowhere = services.services.defaults.model_copy(update={"model": "nonsense", "workspace": tmp_path / "nowhere"})
    engine = dataclasses.replace(services, services=dataclasses.replace(services.services, defaults=nowhere))
    elsewhere = Runs(opened=engine, progress=lambda _node, _change: None)

    assert (await elsewhere.start("again", thread_id="t", context=LocalContext()))["outcome"] == "completed"
    with pytest.raises(BadSetting, match="unknown model 'nonsense'"):
        await elsewhere.start("go", thread_id="new", context=LocalContext())


async def test_a_resume_may_name_another_chain_when_the_threads_own_is_gone(
    runs: Runs, script: Script, services: Opened
) -> None:
    context = script(calls(ORDER), say("done"))
    report = await runs.start("go", thread_id="t", context=context)
    await decide(services, ids_of(report)["place_order"], "approve")
    other = script(say("unused"), say("by another")).model
    await asyncio.to_thread(os.remove, context.model.removeprefix("scripted:"))

    with pytest.raises(BadSetting, match="can't read script"):
        await runs.resume("t", context=Context())
    assert (await runs.resume("t", context=Context(model=other)))["answer"] == "by another"
