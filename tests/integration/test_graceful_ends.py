"""Whatever stops a run, its answer says what was said, what was done and what was left."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from app.lifespan import Opened
from app.report import EXIT_CODES
from app.runs import Runs
from graph.context import Context, LocalContext
from services.clock import FixedClock, SystemClock
from tests.integration.conftest import (
    DELETE,
    LIST,
    MAIL,
    READ,
    Script,
    calls,
    decide,
    ids_of,
    messages_of,
    say,
)
from tests.integration.recording import Recording, with_parts

STEP = {**calls(LIST), "content": "I look around.", "usage": {"input_tokens": 100, "output_tokens": 0}}
DIME = {"price": {"input_per_mtok": 1_000, "output_per_mtok": 0}}


@pytest.mark.parametrize(
    ("turns", "fields", "outcome", "left"),
    [
        ([STEP] * 9, {"max_iterations": 1}, "stopped_iterations", ""),
        ([STEP, {**STEP, **calls(READ, LIST)}], {"max_tool_calls": 2}, "stopped_tool_calls", "read_file("),
        ([STEP] * 9, {"max_tokens": 150}, "stopped_tokens", ""),
        ([STEP] * 9, {"max_usd": 0.15}, "stopped_cost", ""),
        ([STEP, {**say("x"), "delay_s": 60}], {"max_seconds": 2}, "stopped_deadline", ""),
        ([STEP, {"error": "server_error"}], {}, "model_failed", ""),
        ([STEP, {"error": "empty"}, {"error": "truncated"}], {}, "model_failed", ""),
    ],
)
async def test_a_stopped_run_tells_what_was_said_what_was_done_and_what_was_left(  # noqa: PLR0913, PLR0917
    runs: Runs, script: Script, turns: list[dict[str, Any]], fields: dict[str, Any], outcome: str, left: str
) -> None:
    report = await runs.start("go", thread_id="t", context=script(*turns, lists=DIME, **fields))

    assert report["outcome"] == outcome
    assert EXIT_CODES.get(outcome, 1) == (1 if outcome == "model_failed" else 4)
    assert report["answer"].startswith("Stopped: ")
    assert "I look around." in report["answer"]
    assert "Done: list_files" in report["answer"]
    assert ("Not done: " in report["answer"]) == bool(left)
    assert left in report["answer"]
    messages = await messages_of(runs, "t")
    asked = [call["id"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls]
    assert asked == [m.tool_call_id for m in messages if isinstance(m, ToolMessage)]


@pytest.mark.parametrize(
    ("turns", "fields", "outcome"),
    [
        ([{"error": "timeout"}], {}, "model_failed"),
        ([{"error": "empty"}] * 2, {}, "model_failed"),
        ([], {}, "model_failed"),
        ([{"content": "x", "usage": {"input_tokens": 500, "output_tokens": 0}}], {"max_tokens": 400}, "stopped_tokens"),
        ([{"content": "x", "usage": {"input_tokens": 500, "output_tokens": 0}}], {"max_usd": 0.1}, "stopped_cost"),
        ([{"content": "x", "delay_s": 60}], {"max_seconds": 0.3}, "stopped_deadline"),
        ([calls(LIST, LIST)], {"max_tool_calls": 1}, "stopped_tool_calls"),
    ],
)
async def test_a_run_that_ends_at_its_first_call_has_an_answer_and_charges_what_it_made(
    runs: Runs, script: Script, turns: list[dict[str, Any]], fields: dict[str, Any], outcome: str
) -> None:
    report = await runs.start("go", thread_id="t", context=script(*turns, lists=DIME, **fields))

    assert report["outcome"] == outcome
    assert report["answer"].startswith("Stopped: ")
    assert len(report["answer"]) > len("Stopped: .")
    refused = outcome in {"stopped_tokens", "stopped_cost"}
    assert (report["usage"]["model_calls"] == 0) == refused
    assert report["usage"]["cost_usd"] <= fields.get("max_usd", 1)
    assert report["usage"]["seconds"] < 30


async def test_a_hanging_call_is_charged_at_its_worst(runs: Runs, script: Script) -> None:
    hanging = {"content": "x", "delay_s": 60, "usage": {"input_tokens": 100, "output_tokens": 50}}

    report = await runs.start("go", thread_id="t", context=script(hanging, lists=DIME, max_seconds=0.3))

    assert report["outcome"] == "stopped_deadline"
    assert (report["usage"]["model_calls"], report["usage"]["prompt_tokens"]) == (1, 100)
    assert report["usage"]["cost_usd"] == pytest.approx(0.1)


async def test_calls_over_the_limit_are_stopped_before_any_of_them_runs(services: Opened, script: Script) -> None:
    seen: list[tuple[str, Any]] = []
    runs = Runs(opened=services, progress=lambda node, change: seen.append((node, change)))

    report = await runs.start(
        "go", thread_id="t", context=script(calls(LIST), calls(LIST, LIST), say("never"), max_tool_calls=2)
    )

    assert report["outcome"] == "stopped_tool_calls"
    assert [node for node, _ in seen] == ["reason", "act", "sanitize", "reason", "finish"]
    assert seen[3][1]["outcome"] == "stopped_tool_calls"
    assert report["usage"]["tool_calls"] == 1
    *_, first, second = await messages_of(runs, "t")
    assert [str(m.text) for m in (first, second)] == ["Not run: tool calls: 2 more after 1 of 2."] * 2


@pytest.mark.parametrize(
    ("answer", "shown"), [("done", "done"), ("  0  ", "0"), ("\nNothing to do.\n", "Nothing to do.")]
)
async def test_a_completed_run_answers_with_the_models_words(
    runs: Runs, script: Script, answer: str, shown: str
) -> None:
    report = await runs.start("go", thread_id="t", context=script(say(answer)))

    assert (report["outcome"], report["answer"].strip()) == ("completed", shown)


async def test_a_waiting_run_that_is_then_stopped_says_what_was_left(
    runs: Runs, script: Script, services: Opened
) -> None:
    context = script({**calls(MAIL), "content": "I write to Ann."}, calls(LIST), max_iterations=1)
    report = await runs.start("go", thread_id="t", context=context)
    assert report["outcome"] == "awaiting_approval"
    await decide(services, ids_of(report)["send_email"], "reject")

    report = await runs.resume("t", context=Context())

    assert (report["outcome"], report["answer"]) == (
        "stopped_iterations",
        "Stopped: iterations: 1 of 1. I write to Ann.",
    )


async def test_a_critical_call_is_handed_to_a_person(runs: Runs, script: Script) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(DELETE), say("x")))

    assert report["outcome"] in {"awaiting_approval", "handed_to_person"}
    assert EXIT_CODES[report["outcome"]] == 3
    assert [row["tool"] for row in report["approvals"]] == ["delete_records"]


FOLDING = [calls(("read_file", {"path": "docs/catalogue.csv"})), calls(LIST)]


@pytest.mark.parametrize(
    ("summarizer", "fields"),
    [
        ({"error": "server_error"}, {}),
        ({"content": "s", "usage": {"input_tokens": 5_000, "output_tokens": 0}}, {"max_tokens": 4_000}),
        ({"content": "s", "usage": {"input_tokens": 5_000, "output_tokens": 0}}, {"max_usd": 4}),
    ],
    ids=["fails", "no tokens left", "no money left"],
)
async def test_a_summary_that_can_not_be_made_keeps_excerpts_and_the_run_goes_on(
    runs: Runs, script: Script, summarizer: dict[str, Any], fields: dict[str, Any]
) -> None:
    free = {"input_tokens": 0, "output_tokens": 0}
    turns = [{**turn, "usage": free} for turn in (*FOLDING, say("done"))]
    context = script(*turns, lists={**DIME, "summarizer": [summarizer]}, keep_tool_results=1, **fields)

    report = await runs.start("go", thread_id="t", context=context)

    assert (report["outcome"], report["answer"]) == ("completed", "done")
    assert "Standing desk,389.00" in (await runs.known("t")).values["summary"]
    assert report["usage"]["prompt_tokens"] == 0


async def test_a_summarizer_that_hangs_ends_with_the_time_of_the_run_and_loses_nothing(
    runs: Runs, script: Script
) -> None:
    hanging = {"summarizer": [{"content": "s", "delay_s": 60}]}

    report = await runs.start(
        "go", thread_id="t", context=script(*FOLDING, say("x"), lists=hanging, keep_tool_results=1, max_seconds=1.5)
    )

    assert report["outcome"] == "stopped_deadline"
    assert "list_files" in report["answer"]
    assert "Standing desk,389.00" in (await runs.known("t")).values["summary"]
    assert report["usage"]["model_calls"] == 3


async def test_the_model_is_told_when_few_replies_remain_and_the_history_does_not_keep_it(
    services: Opened, script: Script
) -> None:
    recording = Recording(real=services.services.models)
    runs = with_parts(services, models=recording)

    report = await runs.start("go", thread_id="t", context=script(*[calls(LIST)] * 9, max_iterations=5))

    assert report["outcome"] == "stopped_iterations"
    said = recording.last_words()
    assert [words.startswith("Note from Ballast: ") for words in said] == [False, False, True, True, True]
    assert ["included: 3" in said[2], "included: 2" in said[3], "this is the last reply" in said[4]] == [True] * 3
    assert not any("Note from Ballast" in str(m.text) for m in await messages_of(runs, "t"))


@pytest.mark.parametrize("iterations", [2, 3, 4])
async def test_the_offline_model_does_not_take_that_note_for_a_request(
    runs: Runs, workspace: Path, iterations: int
) -> None:
    context = LocalContext(model="offline", workspace=workspace, max_iterations=iterations)

    report = await runs.start("list files", thread_id="t", context=context)

    assert report["outcome"] == "completed"
    assert "docs/catalogue.csv" in report["answer"]


async def test_the_offline_model_with_one_reply_ends_typed(runs: Runs, workspace: Path) -> None:
    context = LocalContext(model="offline", workspace=workspace, max_iterations=1)

    report = await runs.start("list files", thread_id="t", context=context)

    assert (report["outcome"], report["answer"]) == (
        "stopped_iterations",
        "Stopped: iterations: 1 of 1. Done: list_files.",
    )


class BackADay(SystemClock):
    """A wall clock that is set back a day at every look."""

    days = 0

    def now(self) -> datetime:
        self.days += 1
        return super().now() - timedelta(days=self.days)


class Leaping(FixedClock):
    """Jumps ahead a year at one look, as after a machine slept."""

    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        if self.looks == 4:
            self.move(365 * 24 * 3600)
        return super().monotonic()


async def test_a_wall_clock_that_goes_back_does_not_stop_a_run(services: Opened, script: Script) -> None:
    runs = with_parts(services, clock=BackADay())

    report = await runs.start("go", thread_id="t", context=script(calls(LIST, READ), calls(LIST), say("done")))

    assert report["outcome"] == "completed"
    assert 0 <= report["usage"]["seconds"] < 60


async def test_a_clock_that_leaps_ahead_ends_the_run_typed(services: Opened, script: Script) -> None:
    runs = with_parts(services, clock=Leaping())

    report = await runs.start("go", thread_id="t", context=script(*[STEP] * 9, lists=DIME))

    assert report["outcome"] == "stopped_deadline"
    assert report["answer"].startswith("Stopped: time: ")
    assert all(figure >= 0 for figure in report["usage"].values())
