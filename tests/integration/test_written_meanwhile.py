"""Somebody writes to a thread that waits for a person."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.types import Command

from app.lifespan import Opened
from app.runs import Runs
from graph.context import Context
from tests.integration.conftest import MAIL, ORDER, Script, calls, decide, ids_of, messages_of, say
from tests.integration.recording import Recording, with_parts

CONFIG: Any = {"configurable": {"thread_id": "t"}}
NOTICE = "Waiting for a decision: place_order. Your message is read once that is made."


async def _write(runs: Runs, text: str = "hurry") -> None:
    await runs.react.ainvoke({"messages": [HumanMessage(text)]}, CONFIG)


async def _said(runs: Runs) -> list[tuple[str, str]]:
    return [(message.type, str(message.text)) for message in await messages_of(runs, "t")]


async def test_they_are_told_that_it_waits_and_the_question_stands(
    runs: Runs, script: Script, services: Opened
) -> None:
    before = ids_of(await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done"))))

    await _write(runs)
    await _write(runs, "and now?")

    assert await _said(runs) == [
        ("human", "go"), ("ai", ""), ("human", "hurry"), ("ai", NOTICE), ("human", "and now?"), ("ai", NOTICE),
    ]  # fmt: skip
    assert {row.tool: row.id for row in await services.approvals.find(thread_id="t", pending=True)} == before
    assert (await runs.known("t")).next == ("approve",)


async def test_the_model_reads_the_message_and_not_what_ballast_said_to_it(
    services: Opened, runs: Runs, script: Script
) -> None:
    asked = ids_of(await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done"))))
    await _write(runs)
    await decide(services, asked["place_order"], "approve")
    recording = Recording(real=services.services.models)

    report = await with_parts(services, models=recording).resume("t", context=Context())

    [question] = recording.questions
    assert report["outcome"] == "completed"
    assert [message.type for message in question.messages] == ["system", "human", "ai", "tool", "human"]
    assert question.messages[-1].text == "hurry"


async def test_a_bare_answer_still_can_mean_one_question_only(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    await _write(runs)

    result = await runs.react.ainvoke(Command(resume=[{"type": "accept", "args": None}]), CONFIG)

    assert result["outcome"] == "completed"


async def test_nobody_is_told_to_wait_for_what_is_decided(runs: Runs, script: Script, services: Opened) -> None:
    asked = ids_of(await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done"))))
    await decide(services, asked["place_order"], "reject")

    await _write(runs)

    assert [kind for kind, _ in await _said(runs)] == ["human", "ai", "human", "tool", "ai"]


async def test_who_answers_in_the_same_breath_is_not_told_to_wait(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
    both: Any = Command(update={"messages": [HumanMessage("go ahead")]}, resume={"decisions": [{"type": "approve"}]})

    await runs.react.ainvoke(both, CONFIG)

    assert NOTICE not in [text for _, text in await _said(runs)]


async def test_a_stopped_run_does_not_give_it_as_its_last_words(runs: Runs, script: Script, services: Opened) -> None:
    turn = {**calls(ORDER), "content": "I order the lamps."}
    asked = ids_of(await runs.start("go", thread_id="t", context=script(turn, say("never said"))))
    await _write(runs)
    await decide(services, asked["place_order"], "cancel")

    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "cancelled"
    assert "Waiting for" not in report["answer"]


async def _place(runs: Runs) -> str:
    return str((await runs.known("t")).config["configurable"]["checkpoint_id"])


@pytest.mark.parametrize("goes_on", [False, True], ids=["stands there", "went on"])
async def test_a_question_is_passed_where_the_thread_stands_or_has_gone_on_from(
    runs: Runs, script: Script, services: Opened, *, goes_on: bool
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(MAIL), calls(ORDER), say("done")))
    place = await _place(runs)
    if goes_on:
        await decide(services, ids_of(report)["send_email"], "approve")
        await runs.resume("t", context=Context())

    assert await services.approvals.passed("t", place)
    assert not await services.approvals.passed("another thread", place)


async def test_a_question_on_a_way_the_thread_has_left_is_not_passed(
    runs: Runs, script: Script, services: Opened
) -> None:
    await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
    left = await _place(runs)
    found = await runs.find_checkpoint("t", node="reason", checkpoint_id=None)
    await runs.replay("t", found.config["configurable"]["checkpoint_id"])

    assert not await services.approvals.passed("t", left)
    assert await services.approvals.passed("t", await _place(runs))


async def test_a_checkpoint_that_asked_nothing_is_not_passed(runs: Runs, script: Script, services: Opened) -> None:
    await runs.start("go", thread_id="t", context=script(say("done")))

    assert not await services.approvals.passed("t", await _place(runs))
