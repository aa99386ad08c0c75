"""Threads that each released version left behind go on under this code. `tests/versions/record.py` wrote them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.lifespan import Opened, opened
from app.report import next_nodes
from app.runs import Runs
from checkpoints.migrate import scripts
from graph.context import LocalContext
from services.settings import load as settings
from tests.integration.conftest import Script, decide, ids_of, say
from tests.versions.record import THREADS, load, recorded

ENDS = {
    "between": "Looked up.",
    "stored": "Stored.",
    "ready": "Ready.",
    "untrusted": "Read.",
}

Turns = dict[str, list[dict[str, Any]]]


@pytest.fixture(params=recorded(), ids=lambda path: path.name.removesuffix(".json.gz"))
def turns(request: pytest.FixtureRequest, empty_url: str) -> Turns:
    path: Path = request.param
    return load(path, empty_url, scripts())


@pytest.fixture
async def old(turns: Turns, empty_url: str, tmp_path: Path) -> AsyncIterator[Opened]:
    chosen = settings(database_url=empty_url, home=tmp_path / "home", openai_api_key=None)
    async with opened(chosen) as everything:
        yield everything


@pytest.fixture
def of_old(old: Opened) -> Runs:
    return Runs(opened=old, progress=lambda _node, _change: None)


@pytest.fixture
def as_recorded(turns: Turns, script: Script) -> dict[str, LocalContext]:
    return {name: script(*told) for name, told in turns.items()}


@pytest.mark.parametrize("thread", ENDS)
async def test_a_thread_that_was_killed_goes_on_to_its_end(
    of_old: Runs, as_recorded: dict[str, LocalContext], thread: str
) -> None:
    before = await of_old.known(thread)
    assert next_nodes(before) == [THREADS[thread].next]

    report = await of_old.resume(thread, context=as_recorded[thread])

    assert (report["outcome"], report["answer"]) == ("completed", ENDS[thread])
    usage = report["usage"]
    assert (usage["iterations"], usage["model_calls"], usage["tool_calls"]) == (2, 2, 1)


async def test_a_thread_that_waited_is_decided_and_goes_on(
    of_old: Runs, old: Opened, as_recorded: dict[str, LocalContext], workspace: Path
) -> None:
    asked = await of_old.resume("waits", context=as_recorded["waits"])
    approvals = ids_of(asked)
    for tool, decision in {"send_email": "approve", "place_order": "approve", "delete_records": "done"}.items():
        await decide(old, approvals[tool], decision)

    report = await of_old.resume("waits", context=as_recorded["waits"])

    assert (asked["outcome"], report["outcome"], report["answer"]) == ("awaiting_approval", "completed", "All sent.")
    assert len(list((workspace / "outbox/new").iterdir())) == 1
    effects = await old.ledger.of_thread("waits")
    assert sorted((effect["tool"], effect["state"]) for effect in effects) == [
        ("place_order", "done"),
        ("send_email", "done"),
    ]


@pytest.mark.parametrize(("thread", "answer"), [("finished", "Listed."), ("folded", "Folded.")])
async def test_a_finished_thread_is_read_and_takes_a_new_request(
    of_old: Runs, script: Script, thread: str, answer: str
) -> None:
    before = await of_old.known(thread)
    steps = await of_old.history(thread)

    report = await of_old.start("and on", thread_id=thread, context=script(say("And on.")))

    assert (before.values["answer"], before.values["outcome"]) == (answer, "completed")
    assert bool(before.values.get("summary")) == (thread == "folded")
    assert (steps[0]["node"], steps[0]["next"]) == ("finish", [])
    assert (report["outcome"], report["answer"]) == ("completed", "And on.")
    last, totals = before.values["usage"], report["totals"]
    assert totals["runs"] == 2
    assert totals["model_calls"] == last["model_calls"] + report["usage"]["model_calls"]
    assert totals["prompt_tokens"] == last["prompt_tokens"] + report["usage"]["prompt_tokens"]


async def test_its_threads_are_listed(old: Opened) -> None:
    rows = await old.saver.list_threads()

    assert {row["thread_id"]: row["waiting"] for row in rows} == {name: name == "waits" for name in THREADS}
