"""Runs whose history is folded, or whose results are cut, and what the model can still get at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from app.lifespan import Opened
from app.runs import Runs
from graph.context import Context
from graph.react import react
from nodes.folding import CUT
from nodes.openable import WHOLE
from services.cleaning import MAX_CHARS
from tests.integration.conftest import (
    LIST,
    ORDER,
    READ,
    TRUSTED,
    Script,
    calls,
    decide,
    ids_of,
    messages_of,
    results_of,
    say,
)
from tests.integration.recording import Recording, with_parts

CATALOGUE = calls(("read_file", {"path": "docs/catalogue.csv"}))
SHORT: dict[str, Any] = {"keep_tool_results": 1}


@pytest.fixture
def untrusted() -> str:
    """Whole texts, as they are folded, cut and opened again."""
    return "marked"


async def _kept(runs: Runs, kind: str, thread: str = "t") -> list[str]:
    return [one["text"] for one in (await runs.known(thread)).values["facts"] if one["kind"] == kind]


async def _stored(services: Opened) -> int:
    async with services.pool.connection() as connection:
        return len(await (await connection.execute("SELECT FROM results")).fetchall())


@pytest.mark.parametrize(
    "summarizer",
    [{"content": "much more than there was. " * 500}, {"error": "empty"}, {"content": " \n - \n"}],
    ids=["more than it got", "nothing", "no line"],
)
async def test_a_summarizer_that_gives_nothing_usable_is_done_without(
    runs: Runs, script: Script, summarizer: dict[str, Any]
) -> None:
    context = script(CATALOGUE, calls(LIST), say("done"), lists={"summarizer": [summarizer]}, **SHORT)

    report = await runs.start("go", thread_id="t", context=context)

    summary = (await runs.known("t")).values["summary"]
    assert (report["outcome"], report["usage"]["model_calls"]) == ("completed", 4)
    assert "Standing desk,389.00" in summary
    assert "much more" not in summary


async def test_facts_are_lines_that_are_added_and_never_told_again(
    services: Opened, runs: Runs, script: Script
) -> None:
    """The second fold's model gets what is folded then, and none of what the first one said."""
    said = [{"content": "- desks cost 389.00\n* lamps are sold out"}, {"content": "lamps are sold out\n-5 degrees"}]
    recording = Summaries(real=services.services.models)
    runs = with_parts(services, models=recording)
    context = script(CATALOGUE, calls(LIST), calls(TRUSTED), say("done"), lists={"summarizer": said}, **SHORT)

    await runs.start("go", thread_id="t", context=context)

    summary = (await runs.known("t")).values["summary"]
    assert summary.split("\n") == ["desks cost 389.00", "lamps are sold out", "-5 degrees"]
    assert len(recording.texts) == 2
    assert "sold out" not in recording.texts[1]
    assert "Standing desk" not in recording.texts[1]


@dataclass(kw_only=True)
class Summaries(Recording):
    """Keeps what the summarizer is told."""

    texts: list[str] = field(default_factory=list)

    async def complete(self, chain: str, question: Any, **named: Any) -> Any:
        if question.role == "summarizer":
            self.texts.append(str(question.messages[-1].text))
        return await super().complete(chain, question, **named)


async def test_what_people_decided_is_told_after_the_calls_are_gone(services: Opened, script: Script) -> None:
    recording = Recording(real=services.services.models)
    runs = with_parts(services, models=recording)
    context = script(calls(ORDER), calls(LIST), calls(LIST), say("done"), **SHORT)
    report = await runs.start("buy lamps", thread_id="t", context=context)
    await decide(services, ids_of(report)["place_order"], "reject", message="too dear, below 30 each")

    report = await runs.resume("t", context=Context())

    last = [str(message.text) for message in recording.questions[-1].messages]
    assert report["outcome"] == "completed"
    assert "place_order" not in await results_of(runs, "t")
    [told] = [text for text in last if "what people decided" in text]
    assert told.endswith('1. place_order: rejected by a person; they said: "too dear, below 30 each"')
    assert "buy lamps" in last


async def test_the_model_opens_what_was_folded_away_and_gets_it_as_data(runs: Runs, script: Script) -> None:
    turns = [CATALOGUE, calls(LIST), calls(("open_result", {"search": "price of a standing desk"})), say("done")]

    report = await runs.start("go", thread_id="t", context=script(*turns, **SHORT))

    text = (await results_of(runs, "t"))["open_result"]
    assert report["outcome"] == "completed"
    assert text.startswith('<untrusted source="open_result">\nr-')
    assert "Standing desk,389.00" in text


async def test_a_handle_of_another_thread_opens_nothing(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(CATALOGUE, calls(LIST), say("done"), **SHORT))
    [handle] = await _kept(runs, "result")

    stolen = script(calls(("open_result", {"handle": handle})), say("done"))
    await runs.start("go", thread_id="other", context=stolen)

    assert "this conversation has no result" in (await results_of(runs, "other"))["open_result"]


async def test_what_was_opened_is_not_stored_again(runs: Runs, services: Opened, script: Script) -> None:
    opening = calls(("open_result", {"search": "desk"}))
    await runs.start("go", thread_id="t", context=script(CATALOGUE, calls(LIST), opening, opening, say("x"), **SHORT))

    wholes = await services.services.results.newest("t", await _kept(runs, "result"))
    assert [one.tool for one in wholes] == ["list_files", "read_file"]
    assert await _stored(services) == 2


@pytest.fixture
def log(workspace: Path) -> str:
    """A file far longer than its room, with one line that matters in the middle."""
    line = "All is well and nobody has anything to say about this day.\n"
    text = line * 800 + "The parcel of Zephyr is in cellar nine.\n" + line * 800
    (workspace / "log.txt").write_text(text)
    assert len(text) > 4 * MAX_CHARS
    return text


READ_LOG = calls(("read_file", {"path": "log.txt"}))


async def test_a_result_that_is_too_long_is_cut_to_what_was_asked_for(
    services: Opened, runs: Runs, script: Script, log: str
) -> None:
    await runs.start("Where is Zephyr's parcel?", thread_id="t", context=script(READ_LOG, say("cellar nine")))

    [result] = [one for one in await messages_of(runs, "t") if isinstance(one, ToolMessage)]
    text = str(result.text)
    handle = result.artifact[CUT]
    assert text.startswith("[Cut to what has to do with the request: ")
    assert f'of {len(log) - 1:,} characters. open_result(handle="{handle}")' in text.split("\n", maxsplit=1)[0]
    assert '\n<untrusted source="read_file">\n' in text
    assert "The parcel of Zephyr is in cellar nine." in text
    assert len(text) < 1.1 * MAX_CHARS
    whole = await services.services.results.opened("t", handle)
    assert whole is not None
    assert whole.text == log.strip()


async def test_the_whole_is_opened_in_parts(runs: Runs, script: Script, log: str) -> None:
    turns = [READ_LOG, calls(("open_result", {"search": "Zephyr"})), say("done")]

    await runs.start("Read it", thread_id="t", context=script(*turns))

    assert "cellar nine" in (await results_of(runs, "t"))["open_result"]


async def test_a_cut_result_that_is_folded_keeps_the_handle_of_the_whole(
    runs: Runs, services: Opened, script: Script, log: str
) -> None:
    await runs.start("Read it", thread_id="t", context=script(READ_LOG, calls(LIST), say("done"), **SHORT))

    [handle] = await _kept(runs, "result")
    whole = await services.services.results.opened("t", handle)
    assert whole is not None
    assert whole.text == log.strip()
    assert await _stored(services) == 1


async def test_what_the_tool_itself_had_to_cut_keeps_one_handle(
    runs: Runs, services: Opened, script: Script, workspace: Path
) -> None:
    line = "All is well and nobody has anything to say about this day.\n"
    (workspace / "huge.txt").write_text(line * 5_000 + "The parcel of Zephyr is in cellar nine.\n" + line * 5_000)

    await runs.start("go", thread_id="t", context=script(calls(("read_file", {"path": "huge.txt"})), say("done")))

    [result] = [one for one in await messages_of(runs, "t") if isinstance(one, ToolMessage)]
    [whole] = await services.services.results.newest("t", [result.artifact[CUT]])
    assert result.artifact == {CUT: whole.handle, WHOLE: whole.handle}
    assert await _stored(services) == 1
    assert len(whole.text) > 590_000


async def test_a_history_is_folded_by_its_size_when_no_count_is_set(runs: Runs, script: Script) -> None:
    turns = [CATALOGUE, calls(READ), *[calls(LIST)] * 12, say("done")]

    await runs.start("one", thread_id="t", context=script(*turns))
    assert not (await runs.known("t")).values.get("summary")
    await runs.start("two", thread_id="small", context=script(*turns, window_tokens=4_096))

    state = (await runs.known("small")).values
    assert state["summary"]
    assert "001-priya-standing-desks" in " ".join(await _kept(runs, "value", "small"))
    asked = [call["id"] for m in state["messages"] if isinstance(m, AIMessage) for call in m.tool_calls]
    assert asked == [m.tool_call_id for m in state["messages"] if isinstance(m, ToolMessage)]
    assert 0 < len(asked) <= 5


@pytest.mark.parametrize("configurable", [{}, {"thread_id": "t"}])
async def test_a_run_that_is_not_stored_folds_and_keeps_nothing_to_be_opened(
    services: Opened, script: Script, configurable: dict[str, Any]
) -> None:
    async def engine() -> Opened:
        return services

    graph = react(engine)
    context = script(CATALOGUE, calls(LIST), say("done"), **SHORT)

    config: Any = {"configurable": configurable}
    state = await graph.ainvoke({"messages": [HumanMessage("go")]}, config, context=context)

    assert state["outcome"] == "completed"
    assert "Standing desk,389.00" in state["summary"]
    assert {one["kind"] for one in state["facts"]} == {"value"}


async def test_a_long_result_without_a_thread_says_that_the_rest_is_gone(
    services: Opened, script: Script, log: str
) -> None:
    async def engine() -> Opened:
        return services

    state = await react(engine).ainvoke(
        {"messages": [HumanMessage("Where is Zephyr's parcel?")]}, context=script(READ_LOG, say("done"))
    )

    [result] = [one for one in state["messages"] if isinstance(one, ToolMessage)]
    assert re.match(r"\[Cut to .* characters\. The rest is not kept\.\]\n<untrusted", str(result.text))
    assert "cellar nine" in str(result.text)


async def test_branches_of_a_thread_do_not_mix_up_their_results(
    runs: Runs, services: Opened, script: Script, workspace: Path
) -> None:
    """A replay makes the same call ids again; the file says something else by then."""
    (workspace / "note.txt").write_text("first: parcel in cellar one")
    turns = [calls(("read_file", {"path": "note.txt"})), calls(LIST), say("done")]
    await runs.start("go", thread_id="t", context=script(*turns, **SHORT))
    [before] = await _kept(runs, "result")
    thread: Any = {"configurable": {"thread_id": "t"}}
    first = [one async for one in runs.react.aget_state_history(thread) if one.next == ("act",)][-1]
    (workspace / "note.txt").write_text("second: parcel in cellar two")

    await runs.replay("t", first.config["configurable"]["checkpoint_id"])

    [after] = await _kept(runs, "result")
    whole = [await services.services.results.opened("t", handle) for handle in (before, after)]
    assert [one.text.split(":")[0] for one in whole if one] == ["first", "second"]


async def test_where_an_argument_stands_is_known_after_its_result_was_folded(
    runs: Runs, services: Opened, script: Script, workspace: Path
) -> None:
    (workspace / "note.txt").write_text("Write to zephyr@example.com.\nThat is all.")
    mail = ("send_email", {"to": "zephyr@example.com", "subject": "Hi", "body": "Hello"})
    turns = [calls(("read_file", {"path": "note.txt"})), calls(LIST), calls(mail)]

    report = await runs.start("go", thread_id="t", context=script(*turns, **SHORT))

    row = (await services.approvals.get_all([ids_of(report)["send_email"]]))[0]
    assert row.origins is not None
    assert row.origins["to"][0] == "read_file (from outside)"


async def test_a_plans_long_result_is_cut_before_its_answer_is_made(services: Opened, script: Script, log: str) -> None:
    recording = Recording(real=services.services.models)
    runs = with_parts(services, models=recording)
    tasks = [{"id": "t1", "tool": "read_file", "args": {"path": "log.txt"}, "needs": []}]
    planner = {"planner": [calls(("plan", {"tasks": tasks}))]}
    context = script(say("cellar nine"), lists=planner)

    report = await runs.start("Where is Zephyr's parcel?", thread_id="t", context=context, graph="plan")

    [told] = [str(m.text) for m in recording.questions[-1].messages if isinstance(m, ToolMessage)]
    assert (report["outcome"], report["answer"]) == ("completed", "cellar nine")
    assert len(told) < 1.1 * MAX_CHARS
    assert "cellar nine" in told


async def test_a_resume_that_keeps_fewer_results_folds_at_once(runs: Runs, script: Script, services: Opened) -> None:
    report = await runs.start("go", thread_id="t", context=script(*[calls(LIST)] * 3, calls(ORDER), say("done")))
    await decide(services, ids_of(report)["place_order"], "approve")

    report = await runs.resume("t", context=Context(keep_tool_results=1))

    assert report["outcome"] == "completed"
    assert [m.name for m in await messages_of(runs, "t") if isinstance(m, ToolMessage)] == ["place_order"]
    assert await _kept(runs, "decision") == []  # its call is still there, with its result
