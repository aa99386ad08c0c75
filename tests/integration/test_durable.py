"""What the compiled graph adds to every run, whoever starts it."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import psycopg
import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import END
from langgraph.types import Command, Send

from app.lifespan import Opened
from app.runs import Runs
from graph.client_input import Answer, answer_in, explicit_fields
from graph.context import Context, LocalContext
from graph.durable import DurableGraph
from graph.errors import BadSetting, ThreadBusy
from graph.react import react
from graph.state import Call, Input
from graph.tools import Step, ToolResult
from tests.integration.conftest import LIST, MAIL, READ, Script, calls, results_of, say

ASKED: Any = {"messages": [HumanMessage("go")]}
CONFIG: Any = {"configurable": {"thread_id": "t"}}
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
    stream = runs.react.astream(
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

    result = await runs.react.ainvoke(sneaky, config, context=script(say("done")))

    assert result["settings"]["workspace"] != "/etc"
    assert result["settings"]["max_usd"] == 1.0


def test_the_published_input_is_messages_alone(runs: Runs) -> None:
    assert set(runs.react.get_input_jsonschema()["properties"]) == {"messages"}


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
    ("given", "answer"),
    [
        (ASKED, Answer()),
        (None, Answer()),
        (Command(update={}), Answer()),
        (Command(resume={IDS[0]: "x", IDS[1]: "y"}), Answer(by_id={IDS[0]: "x", IDS[1]: "y"})),
        (Command(resume={"decisions": []}), Answer(bare={"decisions": []})),
        (Command(resume={IDS[0]: "x", "decisions": []}), Answer(bare={IDS[0]: "x", "decisions": []})),
        (Command(resume=[{"type": "accept"}]), Answer(bare=[{"type": "accept"}])),
        (Command(resume="yes"), Answer(bare="yes")),
    ],
)
def test_which_questions_an_input_answers(given: Any, answer: Answer) -> None:
    assert answer_in(given) == answer


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "the input has no messages"),
        ({"messages": []}, "the input has no messages"),
        ({"messages": None}, "the input has no messages"),
        ({"foo": 1}, "the input has no messages"),
        ({"messages": [5]}, "messages can't be read"),
        ({"messages": [{"role": "boss", "content": "go"}]}, "messages can't be read"),
        ({"messages": [{"content": "go"}]}, "messages can't be read"),
        ("go", "the input must be an object"),
        (Command(goto=Send("act", {"calls": []})), "may go to '__end__' only"),
        (Command(goto="reason"), "may go to '__end__' only"),
        (Command(), "the command is empty"),
        (Command(resume=None, update={}), "the command is empty"),
        (Command(update={"settings": {"workspace": "/etc"}}), "may update messages only"),
        (Command(update=[("messages", "go"), ("calls", [])]), "may update messages only"),
        (Command(update="go"), "may update messages only"),
        (Command(update={"messages": [None]}), "messages can't be read"),
    ],
)
async def test_what_can_not_be_read_is_refused_before_it_is_stored(
    runs: Runs, script: Script, sent: Any, said: str
) -> None:
    await runs.start("go", thread_id="t", context=script(say("first"), say("second")))
    before = await runs.known("t")

    with pytest.raises(BadSetting, match=said):
        await runs.react.ainvoke(sent, CONFIG)

    assert await runs.known("t") == before
    assert (await runs.start("go on", thread_id="t", context=LocalContext()))["answer"] == "first"


@pytest.mark.parametrize("content", ["go", [{"type": "text", "text": "go"}]])
async def test_messages_are_read_in_every_shape_clients_send(runs: Runs, script: Script, content: Any) -> None:
    context = script(say("done"))

    shapes: list[Any] = [{"role": "user", "content": content}, {"type": "human", "content": content}, ("user", content)]
    for number, shape in enumerate(shapes):
        config: Any = {"configurable": {"thread_id": f"t{number}"}}
        result = await runs.react.ainvoke(Input(messages=[shape]), config, context=context)
        assert [message.text for message in result["messages"]] == ["go", "done"]


async def test_a_message_in_a_command_counts_once(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(say("first"), say("second")))

    result = await runs.react.ainvoke(Command(update={"messages": "and on"}), CONFIG)

    told = [message.text for message in result["messages"]]
    assert told == [message.text for message in (await runs.known("t")).values["messages"]]
    assert told.count("and on") == 1


async def test_a_state_edited_by_hand_keeps_the_threads_settings(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(say("first")))
    before = (await runs.known("t")).values["settings"]

    await runs.react.aupdate_state(CONFIG, {"settings": {"workspace": "/etc"}, "reason": "by hand"}, as_node="reason")

    after = (await runs.known("t")).values
    assert (after["settings"], after["reason"]) == (before, "by hand")
    sneaky = {"defaults": {"workspace": "/etc"}, "explicit": {"workspace": "/etc"}}
    copied = await runs.react.aupdate_state(CONFIG, [({"settings": sneaky}, "reason")], as_node="__copy__")
    assert (await runs.react.aget_state(copied)).values["settings"] == before


@pytest.mark.parametrize(
    ("values", "node", "said"),
    [
        ({"messages": [5]}, "reason", "messages can't be read"),
        ([({"messages": [5]}, "reason")], "__copy__", "messages can't be read"),
        ([("settings", {})], "reason", "a state is updated by an object"),
        ("text", "reason", "a state is updated by an object"),
    ],
)
async def test_a_state_edit_that_can_not_be_read_is_refused_before_it_is_stored(
    runs: Runs, script: Script, values: Any, node: str, said: str
) -> None:
    await runs.start("go", thread_id="t", context=script(say("first")))
    before = await runs.known("t")

    with pytest.raises(BadSetting, match=said):
        await runs.react.aupdate_state(CONFIG, values, as_node=node)

    assert await runs.known("t") == before


@pytest.mark.parametrize("command", [Command(resume="yes"), Command(update={"messages": "go"}), Command(goto=END)])
async def test_a_command_on_a_thread_that_has_not_begun_is_told_so(runs: Runs, command: Any) -> None:
    with pytest.raises(BadSetting, match="nothing has run on this thread yet"):
        await runs.react.ainvoke(command, CONFIG)


async def test_ending_an_ended_thread_changes_nothing_it_said(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(say("first")))

    await runs.react.ainvoke(Command(goto=END), CONFIG)

    after = (await runs.known("t")).values
    assert (after["outcome"], after["answer"]) == ("completed", "first")


async def test_ending_a_thread_that_was_cut_off_says_that_its_calls_may_have_run(
    services: Opened, script: Script
) -> None:
    class CutOff:
        def __getattr__(self, name: str) -> Any:
            return getattr(services.services.tools, name)

        async def run(self, call: Call, step: Step, *, occurrence: int) -> ToolResult:
            await services.services.tools.run(call, step, occurrence=occurrence)
            raise psycopg.OperationalError("gone")

    engine = dataclasses.replace(services, services=dataclasses.replace(services.services, tools=CutOff()))
    runs = Runs(opened=engine, progress=lambda _node, _change: None)
    with pytest.raises(psycopg.OperationalError):
        await runs.start("go", thread_id="t", context=script(calls(LIST), say("never")))

    await runs.react.ainvoke(Command(goto=END), CONFIG)

    assert (await results_of(runs, "t"))["list_files"].startswith("It may have run")


async def test_calls_side_by_side_all_end_before_a_failure_is_told(services: Opened, script: Script) -> None:
    """The database fails one of two calls: the other is not left running behind the node's back."""
    failed, ended = asyncio.Event(), list[str]()

    class OneFails:
        def __getattr__(self, name: str) -> Any:
            return getattr(services.services.tools, name)

        async def run(self, call: Call, step: Step, **_: Any) -> ToolResult:  # noqa: ARG002 - the Protocol has it
            if call["name"] == "list_files":
                failed.set()
                raise psycopg.OperationalError("gone")
            await failed.wait()
            await asyncio.sleep(0)
            ended.append(call["name"])
            return ToolResult(text="", untrusted=False)

    engine = dataclasses.replace(services, services=dataclasses.replace(services.services, tools=OneFails()))
    runs = Runs(opened=engine, progress=lambda _node, _change: None)

    with pytest.raises(psycopg.OperationalError):
        await runs.start("go", thread_id="t", context=script(calls(LIST, READ), say("never")))

    assert ended == ["read_file"]
