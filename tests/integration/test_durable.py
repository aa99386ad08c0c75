"""What the compiled graph adds to every run, whoever starts it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.types import Command

from app.lifespan import Opened
from app.runs import Runs
from graph.context import Context
from graph.durable import DurableGraph, answered_by, explicit_fields
from graph.errors import BadSetting, ThreadBusy
from graph.react import react
from tests.integration.conftest import LIST, MAIL, Script, calls, say

ASKED: Any = {"messages": [HumanMessage("go")]}
IDS = ["0123456789abcdef" * 2, "fedcba9876543210" * 2]


@pytest.fixture
def stateless(services: Opened) -> DurableGraph:
    async def engine() -> Opened:
        return services

    return react(engine)


async def test_a_run_without_a_thread_may_read(stateless: DurableGraph, script: Script) -> None:
    result = await stateless.ainvoke(ASKED, context=script(calls(LIST), say("done")))

    assert (result["outcome"], result["answer"]) == ("completed", "done")


async def test_a_run_without_a_thread_can_not_wait_and_says_so(
    stateless: DurableGraph, script: Script, services: Opened
) -> None:
    result = await stateless.ainvoke(ASKED, context=script(calls(MAIL, LIST), say("never")))

    assert result["outcome"] == "blocked"
    assert "send_email needs a person's approval" in result["reason"]
    assert "Done: list_files. Not done: send_email(" in result["answer"]
    assert await services.approvals.find() == []


@pytest.mark.parametrize("asked_for", ["exit", "async", None])
async def test_each_step_is_stored_before_the_next_whatever_the_caller_asked_for(
    runs: Runs, script: Script, asked_for: Any
) -> None:
    config: Any = {"configurable": {"thread_id": "t"}}
    stream = runs.graph.astream(
        ASKED, config, context=script(calls(LIST), say("done")), durability=asked_for, stream_mode="updates"
    )
    stored = [len([one async for one in runs.opened.saver.alist(config)]) async for _ in stream]

    assert len(stored) > 4
    assert stored == sorted(set(stored))


async def test_a_thread_is_run_once_at_a_time(runs: Runs, script: Script, services: Opened) -> None:
    async with services.hold("t"):
        with pytest.raises(ThreadBusy, match="wait for it, then try again"):
            await runs.start("go", thread_id="t", context=script(say("done")))

    assert (await runs.start("go", thread_id="t", context=script(say("done"))))["outcome"] == "completed"


async def test_a_client_can_not_send_settings(runs: Runs, script: Script) -> None:
    sneaky: Any = {**ASKED, "settings": {"workspace": "/etc", "max_usd": 10_000}}
    config: Any = {"configurable": {"thread_id": "t"}}

    result = await runs.graph.ainvoke(sneaky, config, context=script(say("done")))

    assert result["settings"]["workspace"] != "/etc"
    assert result["settings"]["max_usd"] == 1.0


def test_the_published_input_is_messages_alone(runs: Runs) -> None:
    assert set(runs.graph.get_input_jsonschema()["properties"]) == {"messages"}


def test_a_value_equal_to_the_default_still_counts_as_set() -> None:
    assert explicit_fields(Context(max_iterations=25)) == {"max_iterations": 25}
    assert explicit_fields(None) == explicit_fields({}) == {}


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"max_iterations": 0}, "max_iterations: .*greater than or equal to 1.*got 0"),
        ({"max_usd": float("inf")}, "max_usd: .*finite"),
        ({"workspace": "/etc"}, "workspace: Extra inputs"),
        ({"model": ""}, "model: "),
    ],
)
def test_a_context_that_does_not_hold_is_refused_naming_the_field(context: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        explicit_fields(context)


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (ASKED, frozenset()),
        (None, frozenset()),
        (Command(update={}), frozenset()),
        (Command(resume={IDS[0]: "x", IDS[1]: "y"}), frozenset(IDS)),
        (Command(resume={"decisions": []}), None),
        (Command(resume={IDS[0]: "x", "decisions": []}), None),
        (Command(resume=[{"type": "accept"}]), None),
        (Command(resume="yes"), None),
    ],
)
def test_which_questions_an_input_answers(given: Any, ids: frozenset[str] | None) -> None:
    assert answered_by(given) == ids
