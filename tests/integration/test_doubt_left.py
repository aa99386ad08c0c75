"""What a run that ends says of effects that were in doubt: those left so, those settled, those of earlier runs."""

from __future__ import annotations

from app.lifespan import Opened
from graph.context import Context
from tests.integration.conftest import Script, calls, decide, results_of, say
from tests.integration.test_doubt import RING, Bell, _asked


async def test_the_next_run_of_the_thread_does_not_name_that_doubt_as_its_own(services: Opened, script: Script) -> None:
    runs = Bell().engine(services)
    row = await _asked(runs, script)
    await decide(services, row["id"], "cancel")
    await runs.resume("t", context=Context())

    report = await runs.start("again", thread_id="t", context=script({"error": "server_error"}))

    assert report["outcome"] == "model_failed"
    assert "In doubt" not in report["answer"]


async def test_cancelling_one_of_several_names_every_doubt_and_what_was_not_run(
    services: Opened, script: Script
) -> None:
    runs = Bell(breaks=2).engine(services)
    back = ("ring", {"bell": "back"})
    report = await runs.start("go", thread_id="t", context=script(calls(RING, back), say("never")))
    [front, _] = [row for row in report["approvals"] if row["status"] == "pending"]

    await decide(services, front["id"], "cancel")
    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "cancelled"
    doubts = report["answer"].split("In doubt, may have happened: ")[1]
    assert sorted(doubts.removesuffix(".").split(", ")) == ["ring({'bell': 'back'})", "ring({'bell': 'front'})"]


async def test_one_a_person_settled_is_not_called_in_doubt_when_the_run_ends_before_it_goes_on(
    services: Opened, script: Script
) -> None:
    runs = Bell(rings=False).engine(services)
    context = script(calls(RING), say("never"), max_seconds=60)
    report = await runs.start("go", thread_id="t", context=context)
    [row] = [row for row in report["approvals"] if row["status"] == "pending"]
    await decide(services, row["id"], "retry")
    usage = {**(await runs.known("t")).values["usage"], "seconds": 61.0}
    await runs.react.aupdate_state((await runs.known("t")).config, {"usage": usage}, as_node="act")

    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "stopped_deadline"
    assert "In doubt" not in report["answer"]
    assert "Settled by a person, then not followed: ring({'bell': 'front'})" in report["answer"]
    said = (await results_of(runs, "t"))["ring"]
    assert "a person settled it" in said
    assert "nobody settled it" not in said


async def test_one_cut_off_again_after_a_retry_is_in_doubt_when_the_run_is_cancelled(
    services: Opened, script: Script
) -> None:
    runs = Bell(breaks=2).engine(services)
    first = await _asked(runs, script)
    await decide(services, first["id"], "retry")
    report = await runs.resume("t", context=Context())
    [again] = [row for row in report["approvals"] if row["status"] == "pending"]
    await decide(services, again["id"], "cancel")

    report = await runs.resume("t", context=Context())

    assert "In doubt, may have happened: ring({'bell': 'front'})" in report["answer"]
