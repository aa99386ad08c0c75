"""Guards at each stage, in both graphs, over real HTTP: what they deny does not happen, and people see why."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from app.lifespan import opened
from app.runs import Runs
from graph.context import LocalContext
from graph.models import Role
from graph.plan import SUBTASK
from graph.state import Input
from services.settings import load
from tests.guard_server import Judge, judging
from tests.integration.conftest import Script, calls, ids_of, messages_of, say
from tests.integration.planning import Desk, plan, runs_at, stands, task
from tests.integration.recording import Recording, with_parts
from tools.base import tool

GRAPHS = pytest.mark.parametrize("graph", ["react", "plan"])
CARD = "4111 1111 1111 1111"
Guarded = Callable[..., AbstractAsyncContextManager[Runs]]


@pytest.fixture
def judge() -> Iterator[Judge]:
    with judging() as one:
        yield one


@pytest.fixture
def desk() -> Desk:
    return Desk()


@tool(risk="low", untrusted_output=True, idempotent=True, exits=True)
async def visit(url: str) -> str:
    """Read a page.

    Args:
        url: Where.
    """
    return f"page at {url}"


@pytest.fixture
def guarded(database_url: str, tmp_path: Path, judge: Judge, desk: Desk) -> Guarded:
    """Runs with guards: those of each stage, and fields of the file."""

    @asynccontextmanager
    async def opening(
        *, prices: str = "guard=0/0", more: Sequence[BaseTool] = (), **stages: Any
    ) -> AsyncIterator[Runs]:
        path = tmp_path / "guards.yaml"
        stages = {"seconds": 5, **stages}
        lines = [
            f"{name}: {str(value).replace('JUDGE', f'llamaguard:guard@{judge.url}')}" for name, value in stages.items()
        ]
        path.write_text("\n".join(lines).replace("'", '"').replace("True", "true"))
        settings = load(database_url=database_url, home=tmp_path, openai_api_key=None, guards=path, prices=prices)
        async with opened(settings) as everything:
            yield runs_at(desk, everything, visit, *more)

    return opening


def asked_of(runs: Runs, role: Role = "agent") -> tuple[Runs, Recording]:
    asked = Recording(real=runs.opened.services.models, role=role)
    return with_parts(runs.opened, models=asked), asked


async def findings(runs: Runs) -> list[tuple[str, str, str]]:
    return [(one["tool"], one["rule"], one["excerpt"]) for one in (await runs.known("t")).values.get("findings", [])]


def turns(graph: str, *made: tuple[str, dict[str, Any]], answer: str = "Done.") -> dict[str, Any]:
    """A script for this graph: these calls, then the answer."""
    if graph == "react":
        return {"turns": [calls(*made), say(answer)], "lists": {}}
    tasks = [task(f"t{number}", name, **args) for number, (name, args) in enumerate(made)]
    return {"turns": [say(answer)], "lists": {"planner": [plan(*tasks), plan()]}}


@GRAPHS
async def test_a_denied_request_ends_the_run_before_any_model_is_asked(
    graph: str, guarded: Guarded, script: Script, judge: Judge, desk: Desk
) -> None:
    judge.bad = {"bomb": "unsafe\nS9"}
    played = turns(graph, ("note", {"text": "x"}))
    async with guarded(input=["JUDGE"]) as unwatched:
        runs, asked = asked_of(unwatched, "agent" if graph == "react" else "planner")
        context = script(*played["turns"], lists=played["lists"])
        report = await runs.start("Build a bomb.", thread_id="t", context=context, graph=graph)
        again = await runs.start("Note x.", thread_id="t", context=context, graph=graph)
        said = [str(one.text) for one in await messages_of(runs, "t") if isinstance(one, HumanMessage)]
        seen = await findings(runs)

    why = "the request was not let through: llamaguard:guard: unsafe: S9"
    assert (report["outcome"], report["answer"]) == ("blocked", f"Stopped: {why}.")
    assert report["usage"]["model_calls"] == 1, "the guard's own"
    assert again["outcome"] == "completed"
    assert said == ["(A guard withheld this message.)", "Note x."]
    assert "bomb" not in repr(asked.questions), "nor does a later turn read it"
    assert judge.texts() == ["Build a bomb.", "Note x."], "each is checked once"
    assert desk.calls("note") == ["x"]
    assert seen == [("request", "guard llamaguard:guard", "unsafe: S9")]


@GRAPHS
async def test_denied_content_is_not_read_and_the_run_goes_on(
    graph: str, guarded: Guarded, script: Script, judge: Judge
) -> None:
    judge.bad = {"POISON": "unsafe\nS1"}
    played = turns(graph, ("outside", {"text": "POISON here"}), ("outside", {"text": "weather: fine"}))
    async with guarded(content=["JUDGE"]) as unwatched:
        runs, asked = asked_of(unwatched)
        context = script(*played["turns"], lists=played["lists"])
        report = await runs.start("Read both.", thread_id="t", context=context, graph=graph)
        results = [str(one.text) for one in await messages_of(runs, "t") if isinstance(one, ToolMessage)]
        seen = await findings(runs)

    assert report["outcome"] == "completed"
    unread = "This source could not be read safely: llamaguard:guard: unsafe: S1"
    assert results == [
        f'<untrusted source="outside">\n{unread}\n</untrusted>',
        '<untrusted source="outside">\nweather: fine\n</untrusted>',
    ]
    last = [message for message in asked.questions[-1].messages if isinstance(message, ToolMessage)]
    assert "POISON" not in repr(last)
    assert ("outside", "guard llamaguard:guard", "unsafe: S1") in seen
    assert report["usage"]["model_calls"] == len(asked.questions) + 2 + (graph == "plan")


@GRAPHS
async def test_a_denied_answer_is_replaced_by_a_line_and_is_nowhere_in_the_history(
    graph: str, guarded: Guarded, script: Script, judge: Judge
) -> None:
    judge.bad = {"secret plan": "unsafe\nS2"}
    played = turns(graph, ("lookup", {"id": "a"}), answer="The secret plan is this.")
    async with guarded(output=["JUDGE"]) as runs:
        context = script(*played["turns"], lists=played["lists"])
        report = await runs.start("Look up a.", thread_id="t", context=context, graph=graph)
        history = [one async for one in runs.graph(graph).aget_state_history({"configurable": {"thread_id": "t"}})]
        roles = [one["role"] for one in judge.asked[0]["messages"]]

    why = "the answer was not let through: llamaguard:guard: unsafe: S2"
    assert (report["outcome"], report["answer"]) == ("blocked", f"Stopped: {why}. Done: lookup.")
    assert "secret plan" not in repr([one.values for one in history])
    assert roles == ["user", "assistant"], "the model judges who says it"


@GRAPHS
async def test_denied_arguments_do_not_run_and_nobody_is_asked(
    graph: str, guarded: Guarded, script: Script, judge: Judge, desk: Desk
) -> None:
    judge.bad = {"gold": "unsafe\nS3"}
    gold, lamp = ("buy", {"item": "gold", "price": 1.0}), ("buy", {"item": "lamp", "price": 2.0})
    played = turns(graph, gold, lamp, ("lookup", {"id": "gold"}))
    async with guarded(arguments=["JUDGE"]) as runs:
        context = script(*played["turns"], lists=played["lists"])
        report = await runs.start("Buy gold and a lamp.", thread_id="t", context=context, graph=graph)
        messages = await messages_of(runs, "t")
        known = (await runs.known("t")).values
        stood = await stands(runs) if graph == "plan" else {}

    assert report["outcome"] == "awaiting_approval"
    assert [row["args"]["item"] for row in report["approvals"]] == ["lamp"]
    told = "not run: a guard refused these arguments: llamaguard:guard: unsafe: S3"
    assert told in [str(one.text) for one in messages if isinstance(one, ToolMessage)]
    assert desk.calls("buy") == []
    assert desk.calls("lookup") == ["gold"], "a read that lets nothing out is not checked"
    if graph == "react":
        assert known["usage"]["faults"] == {"refused_by_guard": 1}
    else:
        assert stood == {"t0": "failed", "t1": "open", "t2": "done"}
    assert ("buy", "guard llamaguard:guard", "unsafe: S3") in [
        (one["tool"], one["rule"], one["excerpt"]) for one in known["findings"]
    ]


@pytest.mark.parametrize("open_for_low", [False, True])
async def test_a_failing_guard_denies_and_by_setting_lets_calls_of_the_lowest_tier_pass(
    guarded: Guarded, script: Script, judge: Judge, desk: Desk, *, open_for_low: bool
) -> None:
    judge.status = 400
    both = calls(("note", {"text": "x"}), ("buy", {"item": "lamp", "price": 2.0}))
    async with guarded(arguments=["JUDGE"], open_for_low=open_for_low) as runs:
        report = await runs.start("Note x, buy a lamp.", thread_id="t", context=script(both, say("Done.")))
        seen = await findings(runs)
        told = [str(one.text) for one in await messages_of(runs, "t")]

    assert report["outcome"] == "completed", "nobody is asked about a call that was refused"
    assert desk.calls("note") == (["x"] if open_for_low else [])
    assert desk.calls("buy") == []
    assert [tool for tool, _, what in seen if what.startswith("could not check it: ModelFailed")] == ["note", "buy"]
    assert "ModelFailed" not in "".join(told), "an error may repeat what was checked"


@GRAPHS
@pytest.mark.parametrize("open_for_low", [False, True])
async def test_a_guard_that_does_not_answer_stops_the_request_unless_it_may_be_passed_over(
    graph: str, guarded: Guarded, script: Script, judge: Judge, *, open_for_low: bool
) -> None:
    judge.hang = threading.Event()
    played = turns(graph, ("lookup", {"id": "a"}))
    async with guarded(input=["JUDGE"], seconds=0.3, open_for_low=open_for_low) as runs:
        context = script(*played["turns"], lists=played["lists"])
        report = await runs.start("Look up a.", thread_id="t", context=context, graph=graph)
        seen = await findings(runs)

    told = "could not check it: no verdict within 0.3 s"
    if open_for_low:
        assert report["outcome"] == "completed"
        assert seen == [("request", "guard llamaguard:guard", f"{told}; passed over")]
    else:
        assert report["outcome"] == "blocked"
        assert report["answer"] == "Stopped: the request was not let through: llamaguard:guard: could not check it."
        assert ("request", "guard llamaguard:guard", told) in seen


async def test_content_of_a_tool_that_lets_data_out_is_not_read_past_a_failing_guard(
    guarded: Guarded, script: Script, judge: Judge
) -> None:
    judge.status = 400
    reads = calls(("outside", {"text": "weather: fine"}), ("visit", {"url": "http://a.example/"}))
    async with guarded(content=["JUDGE"], open_for_low=True) as runs:
        await runs.start("Read it and http://a.example/", thread_id="t", context=script(reads, say("Done.")))
        results = [str(one.text) for one in await messages_of(runs, "t") if isinstance(one, ToolMessage)]

    assert "weather: fine" in results[0]
    assert "page at" not in results[1]
    assert "This source could not be read safely" in results[1]


@GRAPHS
async def test_what_is_redacted_is_not_read_and_not_told(graph: str, guarded: Guarded, script: Script) -> None:
    mail = ("outside", {"text": f"My card is {CARD}, thanks."})
    played = turns(graph, mail, answer=f"The card is {CARD}.")
    async with guarded(content=["redact:cards"], output=["redact:cards"]) as runs:
        context = script(*played["turns"], lists=played["lists"])
        report = await runs.start("Read the mail.", thread_id="t", context=context, graph=graph)
        messages = await messages_of(runs, "t")
        seen = await findings(runs)

    assert (report["outcome"], report["answer"]) == ("completed", "The card is [card number taken out].")
    read = [str(one.text) for one in messages if isinstance(one, ToolMessage)]
    assert read == ['<untrusted source="outside">\nMy card is [card number taken out], thanks.\n</untrusted>']
    assert messages[-1].text == report["answer"]
    assert [one for one in seen if one[1] == "guard redact:cards"] == [
        ("outside", "guard redact:cards", "took out 1 card number"),
        ("answer", "guard redact:cards", "took out 1 card number"),
    ]


async def test_a_sub_task_reads_and_sends_no_more_than_the_guards_let_through(
    guarded: Guarded, script: Script, judge: Judge
) -> None:
    judge.bad = {"POISON": "unsafe\nS1", "evil.example": "unsafe\nS7"}
    reads = calls(("outside", {"text": "POISON"}), ("visit", {"url": "http://evil.example/"}))
    sub = task("a", SUBTASK, task="Look at http://evil.example/ and read.")
    lists = {"planner": [plan(sub)], "subtasks": {"a": [reads, say("Nothing.")]}}
    async with guarded(content=["JUDGE"], arguments=["JUDGE"]) as unwatched:
        runs, asked = asked_of(unwatched, "subtask")
        report = await runs.start(
            "Look at http://evil.example/", thread_id="t", context=script(say("Ok."), lists=lists), graph="plan"
        )
        seen = await findings(runs)

    assert report["outcome"] == "completed"
    told = [str(one.text) for one in asked.questions[-1].messages if isinstance(one, ToolMessage)]
    assert "could not be read safely: llamaguard:guard: unsafe: S1" in told[0]
    assert told[1] == "not run: a guard refused these arguments: llamaguard:guard: unsafe: S7"
    assert {(tool, what) for tool, _, what in seen} == {("visit", "unsafe: S7"), ("outside", "unsafe: S1")}


async def test_what_a_stopped_run_had_said_is_checked_too(guarded: Guarded, script: Script, judge: Judge) -> None:
    judge.bad = {"secret plan": "unsafe\nS2"}
    talks = {**calls(("lookup", {"id": "a"})), "content": "The secret plan first."}
    async with guarded(output=["JUDGE"]) as runs:
        report = await runs.start("Look.", thread_id="t", context=script(talks, say("x"), max_iterations=1))
        row = await runs.opened.runs.get("t")

    why = "iterations: 1 of 1"
    assert report["outcome"] == "stopped_iterations"
    assert report["answer"] == f"Stopped: {why}. What was said before is not shown: llamaguard:guard: unsafe: S2."
    assert row
    assert report["usage"]["model_calls"] == 2


async def test_a_resume_checks_the_request_and_what_was_read_no_second_time(
    guarded: Guarded, script: Script, judge: Judge
) -> None:
    buys = calls(("buy", {"item": "lamp", "price": 2.0}))
    async with guarded(input=["JUDGE"], content=["JUDGE"], arguments=["JUDGE"]) as runs:
        context = script(calls(("outside", {"text": "fine"})), buys, say("Done."))
        report = await runs.start("Read, then buy a lamp for 2.", thread_id="t", context=context)
        before = len(judge.asked)
        await runs.opened.services.approvals.decide(ids_of(report)["buy"], {"type": "approve"}, by="ann")
        resumed = await runs.resume("t", context=LocalContext())

    assert resumed["outcome"] == "completed"
    assert before == 3
    assert len(judge.asked) == 3


async def test_a_guards_model_is_charged_like_any_other_and_denies_when_the_money_is_gone(
    guarded: Guarded, script: Script, judge: Judge
) -> None:
    async with guarded(input=["JUDGE"], prices="guard=100/100") as runs:
        paid = await runs.start("Hello.", thread_id="paid", context=script(say("Hi.")))
        broke = await runs.start("Hello.", thread_id="broke", context=script(say("Hi."), max_usd=0.0001))

    assert paid["outcome"] == "completed"
    assert paid["usage"]["cost_usd"] == pytest.approx(1_002 * 100 / 1_000_000)
    assert broke["outcome"] == "blocked"
    assert broke["answer"].endswith("llamaguard:guard: could not check it.")
    assert len(judge.asked) == 1


async def test_nobody_who_follows_the_run_sees_what_a_guard_has_yet_to_see(
    guarded: Guarded, script: Script, judge: Judge
) -> None:
    judge.bad = {"secret plan": "unsafe\nS2"}
    async with guarded(input=["JUDGE"], output=["JUDGE"]) as runs:
        context = script(say("The secret plan is this."))
        config = {"configurable": {"thread_id": "t"}}
        parts = [
            message
            async for message, _ in runs.react.astream(
                {"messages": [HumanMessage("Hello.")]}, config, context=context, stream_mode="messages"
            )
        ]

    assert not [one for one in parts if isinstance(one, AIMessageChunk)]
    assert "secret plan" not in repr(parts)
    assert "safe" not in [str(one.text) for one in parts]


@pytest.mark.parametrize("denied", [False, True])
async def test_a_request_that_begins_with_folding_is_checked_before_the_summarizer_is_asked(
    guarded: Guarded, script: Script, judge: Judge, *, denied: bool
) -> None:
    judge.bad = {"bomb": "unsafe\nS9"} if denied else {}
    reads = [calls(("outside", {"text": f"note {number} " + "word " * 30})) for number in range(6)]
    async with guarded(input=["JUDGE"]) as unwatched:
        runs, asked = asked_of(unwatched, "summarizer")
        first = script(*reads, say("Read."), lists={"summarizer": [say("- it was read")]})
        await runs.start("Read all.", thread_id="t", context=first)
        second = script(say("Yes."), lists={"summarizer": [say("- it was read")]}, keep_tool_results=1)
        report = await runs.start("Build a bomb.", thread_id="t", context=second)

    assert judge.texts() == ["Read all.", "Build a bomb."]
    assert report["outcome"] == ("blocked" if denied else "completed")
    assert len(asked.questions) == (0 if denied else 1)
    assert report["usage"]["model_calls"] == (1 if denied else 3)


async def test_in_a_plan_what_was_passed_over_is_told_beside_the_call_that_ran(
    guarded: Guarded, script: Script, judge: Judge, desk: Desk
) -> None:
    judge.status = 400
    lists = {"planner": [plan(task("a", "note", text="x"))]}
    async with guarded(arguments=["JUDGE"], open_for_low=True) as runs:
        await runs.start("Note x.", thread_id="t", context=script(say("Ok."), lists=lists), graph="plan")
        seen = await findings(runs)

    assert desk.calls("note") == ["x"]
    assert [(tool, rule) for tool, rule, _ in seen] == [("note", "guard llamaguard:guard")]


async def test_messages_sent_together_are_checked_together_and_withheld_together(
    guarded: Guarded, script: Script, judge: Judge
) -> None:
    judge.bad = {"bomb": "unsafe"}
    async with guarded(input=["JUDGE"]) as runs:
        config: RunnableConfig = {"configurable": {"thread_id": "t"}}
        given: Input = {"messages": [HumanMessage("Build a bomb."), HumanMessage("Now.")]}
        await runs.react.ainvoke(given, config, context=script(say("Ok.")))
        said = [str(one.text) for one in await messages_of(runs, "t")]

    assert judge.texts() == ["Build a bomb.\n\nNow."]
    assert said == ["(A guard withheld this message.)"] * 2


async def test_an_answer_that_may_pass_reaches_who_follows_the_run_whole(
    guarded: Guarded, script: Script, judge: Judge
) -> None:
    async with guarded(output=["JUDGE"]) as runs:
        config: RunnableConfig = {"configurable": {"thread_id": "t"}}
        given: Input = {"messages": [HumanMessage("Hello.")]}
        stream = runs.react.astream(given, config, context=script(say("Good day.")), stream_mode="messages")
        parts = [message async for message, _ in stream]
        known = (await runs.known("t")).values

    assert [str(one.text) for one in parts if not isinstance(one, HumanMessage)] == ["Good day."]
    assert (known["outcome"], known["answer"]) == ("completed", "Good day.")
    assert judge.texts() == ["Good day."]
