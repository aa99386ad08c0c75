"""Each thing that can be wrong with a reply has one way: shown once, then the next model, then a typed end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.ledger import Ledger
from graph.context import LocalContext
from services.endpoints import endpoints_of
from tests.integration.conftest import LIST, Script, calls, messages_of, say
from tests.integration.recording import Playing, Recording, chain_of, with_parts
from tools import office
from tools.base import tool
from tools.execute import Executor
from tools.registry import ToolBox

BROKEN = {"raw_tool_calls": [{"name": "send_email", "arguments": '{"to": "ann'}]}
UNUSABLE = {
    "broken_json": (BROKEN, "the arguments of send_email are not valid JSON"),
    "empty_reply": ({"error": "empty"}, "it was empty"),
    "truncated_reply": ({"error": "truncated"}, "it was cut off at the length limit"),
}


@pytest.fixture
def recording(services: Opened) -> Recording:
    return Recording(real=services.services.models)


@pytest.fixture
def recorded(services: Opened, recording: Recording) -> Runs:
    return with_parts(services, models=recording)


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_a_fault_is_shown_to_the_model_that_made_it_once(
    recorded: Runs, recording: Recording, script: Script, kind: str
) -> None:
    turn, told = UNUSABLE[kind]

    report = await recorded.start("go", thread_id="t", context=script(turn, say("better")))

    assert (report["outcome"], report["answer"], report["faults"]) == ("completed", "better", {kind: 1})
    first, second = recording.last_words()
    assert first == "go"
    assert second.startswith("Your last reply could not be used: ")
    assert told in second
    assert [m.text for m in await messages_of(recorded, "t")] == ["go", "better"]


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_a_fault_made_twice_goes_to_the_next_model_which_is_not_told_of_it(
    recorded: Runs, recording: Recording, script: Script, kind: str
) -> None:
    turn, _ = UNUSABLE[kind]
    context = chain_of(script(turn, turn), script(say("never"), say("never"), say("from the second")))

    report = await recorded.start("go", thread_id="t", context=context)

    assert (report["outcome"], report["answer"]) == ("completed", "from the second")
    assert report["faults"] == {kind: 2}
    assert recording.firsts == [0, 0, 1]
    assert recording.last_words()[2] == "go"


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_when_every_model_stays_unusable_the_run_ends_naming_each_and_every_try(
    recorded: Runs, recording: Recording, script: Script, kind: str
) -> None:
    turn, told = UNUSABLE[kind]
    context = chain_of(*[script(*[turn] * 4) for _ in range(2)])

    report = await recorded.start("go", thread_id="t", context=context)

    assert report["outcome"] == "model_failed"
    assert report["faults"] == {kind: 4}
    assert [report["answer"].count(member) for member in context.model.split(",")] == [2, 2]
    assert report["answer"].count(told) == 4
    assert report["usage"]["model_calls"] == 4
    assert recording.firsts == [0, 0, 1, 1]


@pytest.mark.parametrize("error", ["rate_limit", "timeout", "server_error", "malformed_json"])
async def test_a_model_that_fails_is_counted_and_the_next_one_asked(runs: Runs, script: Script, error: str) -> None:
    failing = {"error": error, "usage": {"input_tokens": 70, "output_tokens": 0}}
    context = chain_of(script(failing, failing), script(calls(LIST), failing))

    report = await runs.start("go", thread_id="t", context=context)

    assert report["outcome"] == "model_failed"
    assert report["faults"] == {"model_error": 3}
    assert [report["answer"].count(member) for member in context.model.split(",")] == [1, 1]
    assert report["usage"]["model_calls"] == 4
    assert "Done: list_files." in report["answer"]


REFUSALS = [
    AIMessage("", additional_kwargs={"refusal": "I can't help"}, response_metadata={"finish_reason": "stop"}),
    AIMessage("Well,", response_metadata={"finish_reason": "content_filter"}),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["refusal", "content_filter"])
async def test_a_refusal_goes_the_same_way(
    services: Opened, workspace: Path, refusal: AIMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    playing = Playing(replies=[refusal] * 4)
    context = LocalContext(model="one,two", workspace=workspace)
    runs = with_parts(services, models=playing)
    monkeypatch.setattr(services.models, "check", lambda _chain: None)  # the names stand for no model

    report = await runs.start("go", thread_id="t", context=context)

    assert report["outcome"] == "model_failed"
    assert report["faults"] == {"refusal": 4}
    assert playing.firsts == [0, 0, 1, 1]
    assert report["answer"].startswith("Stopped: one: it was a refusal")
    assert report["answer"].count("two: it was a refusal") == 2


@pytest.mark.parametrize(
    ("kind", "wrong", "told"),
    [
        ("unknown_tool", ("launch_rocket", {}), "there is no tool 'launch_rocket'"),
        ("bad_arguments", ("read_file", {"file": "x"}), "takes no file"),
        ("over_tool_limit", ("search_documents", {"query": "x"}), "may be called 0 times"),
    ],
)
async def test_calls_that_can_not_run_are_answered_then_go_to_the_next_model_then_end_the_run(  # noqa: PLR0913, PLR0917
    recorded: Runs, recording: Recording, script: Script, kind: str, wrong: tuple[str, dict[str, Any]], told: str
) -> None:
    context = chain_of(*[script(*[calls(wrong)] * 9, tool_limits="search_documents=0") for _ in range(2)])

    report = await recorded.start("go", thread_id="t", context=context)

    assert report["outcome"] == "model_failed"
    assert report["faults"][kind] == 4
    assert recording.firsts == [0, 0, 1, 1]
    assert (report["usage"]["model_calls"], report["usage"]["tool_calls"]) == (4, 0)
    assert told in recording.last_words()[1]
    assert report["answer"].startswith("Stopped: ")


async def test_one_good_call_among_bad_ones_gives_the_model_its_tries_back(runs: Runs, script: Script) -> None:
    rocket: tuple[str, dict[str, Any]] = ("launch_rocket", {})
    turns = [calls(rocket), calls(rocket, LIST)] * 3

    report = await runs.start("go", thread_id="t", context=script(*turns, say("done")))

    assert (report["outcome"], report["faults"]) == ("completed", {"unknown_tool": 6})
    assert report["usage"]["tool_calls"] == 3


async def test_an_endless_repetition_is_told_then_goes_to_the_next_model_until_the_limit_ends_it(
    recorded: Runs, recording: Recording, script: Script
) -> None:
    context = chain_of(*[script(*[calls(LIST)] * 30, max_iterations=11) for _ in range(2)])

    report = await recorded.start("go", thread_id="t", context=context)

    assert report["outcome"] == "stopped_iterations"
    assert "iterations: 11 of 11, the last 10 with the same call" in report["answer"]
    said = ["you made the same call" in words for words in recording.last_words()]
    # The first call was made upon no result yet: it is none of the ten.
    assert (said, recording.firsts) == ([False] * 4 + [True] * 7, [0] * 7 + [1] * 4)
    assert report["faults"] == {"repeated_calls": 8}


async def test_the_same_call_upon_results_that_change_goes_on(
    recorded: Runs, recording: Recording, services: Opened, script: Script
) -> None:
    counted = iter(range(100))

    @tool(risk="low", untrusted_output=False, idempotent=True)
    async def look() -> str:
        """Look at the counter."""
        return f"it stands at {next(counted)}"

    box = Executor(ToolBox([look]), Ledger(services.pool), endpoints_of(services.settings))
    runs = with_parts(services, models=recording, tools=box)
    context = script(*[calls(("look", {}))] * 15, say("done"))

    report = await runs.start("go", thread_id="t", context=context)

    assert report["outcome"] == "completed"
    assert "faults" not in report
    assert not any("same call" in words for words in recording.last_words())


async def test_a_repeated_call_id_is_counted(runs: Runs, script: Script) -> None:
    turn = {"tool_calls": [{"name": "list_files", "args": {}, "id": "same"}] * 2}

    report = await runs.start("go", thread_id="t", context=script(turn, say("done")))

    assert (report["outcome"], report["faults"]) == ("completed", {"repeated_call_id": 1})


async def test_a_tools_own_limit_holds_over_replies_and_within_one(runs: Runs, script: Script) -> None:
    turns = [calls(LIST), calls(LIST, LIST), say("done")]

    report = await runs.start(
        "go", thread_id="t", context=script(*turns, tool_limits=" list_files = 2 ,search_documents=0")
    )

    assert (report["outcome"], report["usage"]["tool_calls"]) == ("completed", 2)
    assert report["faults"] == {"over_tool_limit": 1}
    told = [str(message.text) for message in await messages_of(runs, "t")]
    assert sum("may be called 2 times in a run" in text for text in told) == 1


@pytest.mark.parametrize(("limits", "ran"), [("", 2), ("look=1", 1), ("look=9", 2)])
async def test_the_lower_of_a_tools_mark_and_the_runs_limit_holds(
    services: Opened, script: Script, limits: str, ran: int
) -> None:
    @tool(risk="low", untrusted_output=False, idempotent=True, max_calls=2)
    async def look(at: int) -> str:
        """Look at something.

        Args:
            at: What.
        """
        return f"seen {at}"

    box = Executor(ToolBox([look]), Ledger(services.pool), endpoints_of(services.settings))
    runs = with_parts(services, tools=box)
    turns = [calls(*[("look", {"at": number}) for number in range(4)]), say("done")]

    report = await runs.start("go", thread_id="t", context=script(*turns, tool_limits=limits))

    assert report["usage"]["tool_calls"] == ran
    assert report["faults"] == {"over_tool_limit": 4 - ran}


async def test_a_second_run_on_the_thread_may_call_the_tool_again(runs: Runs, script: Script) -> None:
    for _ in range(2):
        context = script(calls(LIST), say("done"), tool_limits="list_files=1")
        report = await runs.start("go", thread_id="t", context=context)
        assert (report["outcome"], report["usage"]["tool_calls"]) == ("completed", 1)
        assert "over_tool_limit" not in report.get("faults", {})


def test_the_tools_of_the_office_are_known_to_the_limits() -> None:
    assert {"list_files", "search_documents"} <= {one.name for one in office.toolbox().offered()}


@pytest.mark.parametrize("number", [10**40, -(10**40)])
async def test_a_number_no_checkpoint_can_hold_is_told_to_the_model(
    recorded: Runs, recording: Recording, script: Script, number: int
) -> None:
    turn = calls(("place_order", {"item": "Desk lamp", "quantity": [{"deep": number}], "unit_price": 1}), LIST)

    report = await recorded.start("go", thread_id="t", context=script(turn, say("better")))

    assert (report["outcome"], report["answer"], report["faults"]) == ("completed", "better", {"broken_json": 1})
    assert "a whole number of more than 64 bits" in recording.last_words()[1]


@pytest.mark.parametrize("call_id", ["a\x00b", "a\nb", "half a pair \ud800", "i" * 100_000])
async def test_a_call_id_no_row_can_hold_is_made_new(services: Opened, workspace: Path, call_id: str) -> None:
    order = {"item": "Desk lamp", "quantity": 1, "unit_price": 38.25}
    asks = AIMessage("", tool_calls=[{"name": "place_order", "args": order, "id": call_id}])
    runs = with_parts(services, models=Playing(replies=[asks]))

    report = await runs.start("go", thread_id="t", context=LocalContext(workspace=workspace))

    assert (report["outcome"], report["faults"]) == ("awaiting_approval", {"repeated_call_id": 1})
    [call] = (await runs.known("t")).values["calls"]
    assert len(call["id"]) < 100
    assert call["id"].isprintable()
