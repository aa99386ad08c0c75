"""A reply that was cut off is no answer, but its text is kept when none follows that can be used."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call

from app.lifespan import Opened
from app.runs import Runs
from tests.integration.conftest import LIST, Script, calls, messages_of, say
from tests.integration.recording import Playing, Recording, with_parts

SHORT = {"error": "truncated", "content": "The lamps"}
LONG = {"error": "truncated", "content": "The lamps cost 38.25 each and"}
METERED = {"usage": {"input_tokens": 100, "output_tokens": 0}}


@pytest.mark.parametrize(
    ("turns", "fields", "outcome"),
    [
        ([SHORT, LONG], {}, "model_failed"),
        ([LONG, SHORT], {}, "model_failed"),
        ([LONG, {"error": "empty"}], {}, "model_failed"),
        ([LONG, {"error": "server_error"}], {}, "model_failed"),
        ([LONG], {}, "model_failed"),
        ([{**LONG, **METERED}, {**say("x"), **METERED}], {"max_tokens": 150}, "stopped_tokens"),
        ([LONG, {**say("x"), "delay_s": 60}], {"max_seconds": 1}, "stopped_deadline"),
    ],
)
async def test_the_longest_text_that_was_cut_off_is_the_partial_answer(
    runs: Runs, script: Script, turns: list[dict[str, Any]], fields: dict[str, Any], outcome: str
) -> None:
    report = await runs.start("go", thread_id="t", context=script(*turns, **fields))

    assert report["outcome"] == outcome
    assert report["answer"].startswith("Stopped: ")
    assert report["answer"].endswith(" The lamps cost 38.25 each and")
    said = [str(m.text) for m in await messages_of(runs, "t") if isinstance(m, AIMessage)]
    assert said == ["The lamps cost 38.25 each and"]


async def test_what_was_said_before_stands_beside_it(runs: Runs, script: Script) -> None:
    step = {**calls(LIST), "content": "I look around."}

    report = await runs.start("go", thread_id="t", context=script(step, LONG, SHORT))

    assert "I look around. The lamps cost 38.25 each and Done: list_files." in report["answer"]


async def test_a_reply_that_can_be_used_replaces_it(runs: Runs, script: Script) -> None:
    report = await runs.start("go", thread_id="t", context=script(LONG, say("38.25")))

    assert (report["outcome"], report["answer"]) == ("completed", "38.25")
    assert [str(m.text) for m in await messages_of(runs, "t")] == ["go", "38.25"]


async def test_the_next_run_is_shown_it_without_the_calls_that_were_cut(services: Opened, script: Script) -> None:
    cut = AIMessage(
        "I order",
        invalid_tool_calls=[invalid_tool_call(name="place_order", args="{", id="a", error="no end")],
        response_metadata={"finish_reason": "length"},
    )
    await with_parts(services, models=Playing(replies=[cut, cut])).start("go", thread_id="t", context=script())
    recording = Recording(real=services.services.models)

    report = await with_parts(services, models=recording).start("again", thread_id="t", context=script(say("ok")))

    assert report["outcome"] == "completed"
    _, *history = recording.questions[0].messages
    assert [(m.type, str(m.text)) for m in history] == [("human", "go"), ("ai", "I order"), ("human", "again")]
    assert isinstance(history[1], AIMessage)
    assert (history[1].tool_calls, history[1].invalid_tool_calls) == ([], [])


@pytest.mark.parametrize("said", ["", " \n", "\u200b"])
async def test_one_without_words_leaves_nothing(services: Opened, script: Script, said: str) -> None:
    empty = AIMessage(said, response_metadata={"finish_reason": "length"})
    runs = with_parts(services, models=Playing(replies=[empty, empty]))

    report = await runs.start("go", thread_id="t", context=script())

    assert report["outcome"] == "model_failed"
    assert [m.type for m in await messages_of(runs, "t")] == ["human"]
