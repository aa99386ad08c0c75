"""Steps that bring more than a prompt has room for, requests and answers that fill it alone."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from app.lifespan import Opened
from app.runs import Runs
from app.timeline import timeline
from graph.context import FOLD_SHARE
from nodes.room import room_of
from services.tokens import PromptCount, most_of
from tests.integration.conftest import Script, decide, ids_of, messages_of, say
from tests.integration.planning import Desk, plan, runs_at, task
from tests.integration.recording import Recording, with_parts
from tools.base import tool

WINDOW = 8_192


@tool(risk="low", untrusted_output=False, idempotent=True)
async def kilobyte(n: int) -> str:
    """A kilobyte.

    Args:
        n: Of what.
    """
    return f"Parcel P-{n:05d} stands in cellar {n}. " + "some words here " * 64


def recorded(services: Opened, role: Any) -> tuple[Runs, Recording]:
    models = Recording(real=services.services.models, role=role)
    return with_parts(runs_at(Desk(), services, kilobyte).opened, models=models), models


@pytest.mark.parametrize("role", ["agent", "summarizer"])
async def test_a_plan_of_many_results_is_answered_and_summarised_within_the_share(
    services: Opened, script: Script, role: str
) -> None:
    runs, models = recorded(services, role)
    tasks = [task(f"k{n}", "kilobyte", n=n) for n in range(40)]
    context = script(say("Done."), lists={"planner": [plan(*tasks)]}, window_tokens=WINDOW)

    report = await runs.start("go", thread_id="t", context=context, graph="plan")

    assert report["outcome"] == "completed"
    [question] = models.questions
    assert PromptCount().most(question.messages) <= FOLD_SHARE * WINDOW
    facts = (await runs.known("t")).values["facts"]
    assert len([one for one in facts if one["kind"] == "result"]) >= 35
    told = " ".join(one["about"] for one in facts)
    assert '{"n": 0}' in told


async def test_a_step_of_many_calls_keeps_those_that_fit_with_their_results(services: Opened, script: Script) -> None:
    runs, models = recorded(services, "agent")
    wide = {"tool_calls": [{"name": "kilobyte", "args": {"n": n}} for n in range(40)]}

    report = await runs.start("go", thread_id="t", context=script(wide, say("Done."), window_tokens=WINDOW))

    assert report["outcome"] == "completed"
    assert PromptCount().most(models.questions[-1].messages) <= FOLD_SHARE * WINDOW
    messages = await messages_of(runs, "t")
    asked = [call["id"] for one in messages if isinstance(one, AIMessage) for call in one.tool_calls]
    assert asked == [one.tool_call_id for one in messages if isinstance(one, ToolMessage)]
    assert 0 < len(asked) < 40
    assert report["usage"]["tool_calls"] == 40
    steps = (await timeline(runs.react, services.saver, "t", limit=50)).steps
    told = [entry.kind for step in steps for entry in step.entries]
    assert (told.count("call"), told.count("result")) == (40, 40)  # what folding leaves of them is not told again


async def test_a_long_request_does_not_have_each_of_its_12_steps_summarised(services: Opened, script: Script) -> None:
    runs, models = recorded(services, "summarizer")
    turns = [{"tool_calls": [{"name": "kilobyte", "args": {"n": n}}]} for n in range(12)]
    context = script(*turns, say("Done."), window_tokens=WINDOW)

    report = await runs.start("please read " * 800, thread_id="t", context=context)

    assert report["outcome"] == "completed"
    assert 1 <= len(models.questions) <= 6


@tool(risk="low", untrusted_output=False, idempotent=True)
async def novel() -> str:
    """A long text."""
    return "some words here " * 6_000


async def test_a_long_result_beside_a_call_that_waited_is_cut_before_the_answer(
    services: Opened, script: Script
) -> None:
    models = Recording(real=services.services.models)
    runs = with_parts(runs_at(Desk(), services, novel, kilobyte).opened, models=models)
    tasks = [task("n", "novel"), task("b", "buy", item="lamp", price=1.0), task("k", "kilobyte", "b", n=1)]
    context = script(say("Done."), lists={"planner": [plan(*tasks)]})

    report = await runs.start("go", thread_id="t", context=context, graph="plan")
    await decide(services, ids_of(report)["buy"], "approve")
    report = await runs.resume("t", context=context)

    assert report["outcome"] == "completed"
    [question] = models.questions
    [told] = [str(one.text) for one in question.messages if isinstance(one, ToolMessage) and one.name == "novel"]
    assert told.startswith("[Cut to what has to do with the request:")
    assert len(told) < 30_000


async def test_the_one_long_result_of_a_wide_step_is_cut_to_its_share_of_the_room(
    services: Opened, script: Script
) -> None:
    runs = runs_at(Desk(), services, novel, kilobyte)
    short = [{"name": "kilobyte", "args": {"n": n}} for n in range(19)]

    await runs.start(
        "go", thread_id="t", context=script({"tool_calls": [{"name": "novel", "args": {}}, *short]}, say("x"))
    )

    [told] = [
        str(one.text) for one in await messages_of(runs, "t") if isinstance(one, ToolMessage) and one.name == "novel"
    ]
    assert told.startswith("[Cut to what has to do with the request:")
    assert most_of(told) <= room_of({}).result_tokens(20) + 100


async def test_answers_of_turns_without_calls_are_folded_and_counted_to_the_new_run(
    services: Opened, script: Script
) -> None:
    runs, models = recorded(services, "agent")
    spent: list[int] = []
    for n in range(8):
        context = script(say(f"{n} " + "some words here " * 400), window_tokens=WINDOW)
        report = await runs.start(f"and {n}?", thread_id="t", context=context)
        assert report["outcome"] == "completed"
        spent.append(report["usage"]["model_calls"])

    assert PromptCount().most(models.questions[-1].messages) <= WINDOW // 2
    assert sum(spent) > 8
    assert (report["totals"]["runs"], report["totals"]["model_calls"]) == (8, sum(spent))


async def test_a_plans_history_is_folded_before_the_next_plan_is_made(services: Opened, script: Script) -> None:
    runs, models = recorded(services, "planner")
    planner = [plan(*(task(f"k{n}", "kilobyte", n=n) for n in range(8)))]
    lists: dict[str, Any] = {"planner": planner}
    await runs.start("go", thread_id="t", context=script(say("Done."), lists=lists), graph="plan")
    lists = {"planner": [plan(task("k", "kilobyte", n=1))]}

    report = await runs.start(
        "more", thread_id="t", context=script(say("Done."), lists=lists, window_tokens=WINDOW), graph="plan"
    )

    told = "\n".join(str(message.text) for message in models.questions[-1].messages)
    assert report["outcome"] == "completed"
    assert report["totals"]["runs"] == 2
    assert "Summary of earlier tool results" in told
    assert told.count("some words here") < 8 * 64
