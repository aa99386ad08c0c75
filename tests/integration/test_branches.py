"""What a branch of a thread may open: what it read itself, whatever another one has stored in the same thread."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.types import StateUpdate

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.ledger import Ledger
from graph.context import Context
from nodes.folding import CUT
from nodes.openable import WHOLE, openable
from services.endpoints import endpoints_of
from services.settings import load
from tests.integration.conftest import Script, calls, decide, ids_of, messages_of, results_of, say
from tests.integration.planning import plan, task
from tests.integration.recording import Recording, with_parts
from tools import office
from tools.attempt import LONGER, MAX_CHARS
from tools.base import tool
from tools.execute import Executor
from tools.registry import ToolBox

FILLER = "nothing of note here\n"
UNKNOWN = "r-0123456789ab"
NOTHING = "has any of these words: zephyr"
SEARCH = calls(("open_result", {"search": "zephyr"}))


@tool(risk="low", untrusted_output=True, idempotent=True)
async def page(text: str, size: int = 0, end: str = "") -> str:
    """Read what a stranger wrote.

    Args:
        text: What.
        size: With so much around it, in characters.
        end: And this at its end.
    """
    filler = FILLER * (size // 2 // len(FILLER))
    return f"{filler}{text}\n{filler}{end}"


@tool(risk="low", untrusted_output=False, idempotent=True)
async def records(text: str, size: int = 0) -> str:
    """Read what is our own.

    Args:
        text: What.
        size: With so much around it, in characters.
    """
    return await page.ainvoke({"text": text, "size": size})  # type: ignore[no-any-return]  # a str


@tool(risk="low", untrusted_output=True, idempotent=True)
async def web_page() -> str:
    """Read what is mostly markup."""
    return f"<p>a</p><p title='{'x' * MAX_CHARS}'></p><p>zephyr 0</p>"


@tool(risk="high", untrusted_output=True, idempotent=False)
async def ask_out(text: str, size: int = 0) -> str:
    """Ask someone outside, for money.

    Args:
        text: What.
        size: How long the answer is.
    """
    return f"{text}\n{FILLER * (size // len(FILLER))}"


def read(text: str, **more: Any) -> dict[str, Any]:
    return calls(("page", {"text": text, **more}))


@pytest.fixture
def untrusted() -> str:
    """Whole texts, as they are folded, cut and opened again."""
    return "marked"


@pytest.fixture
def model(services: Opened) -> Recording:
    return Recording(real=services.services.models)


@pytest.fixture
def runs(services: Opened, model: Recording) -> Runs:
    box = ToolBox(
        [page, records, web_page, ask_out, *office.toolbox().offered()], handlings=services.settings.untrusted
    )
    results = services.services.results
    tools = Executor(box, Ledger(services.pool), endpoints_of(load()), results=results)
    return with_parts(services, tools=tools, models=model)


async def _values(runs: Runs) -> Any:
    return (await runs.known("t")).values


async def _fork(runs: Runs, *, at: str, context: Any) -> dict[str, Any]:
    """Run on from the first checkpoint before this node, as a thread that has read nothing yet."""
    first = [row["checkpoint_id"] for row in await runs.history("t") if row["next"] == [at]][-1]
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_id": first}}
    graph = await runs.graph_of("t")
    await graph.abulk_update_state(config, [[StateUpdate({"reason": ""}, as_node="__start__")]])
    return await runs.resume("t", context=context)


async def _read(runs: Runs) -> list[str]:
    """The thread's results as the model sees them."""
    return [str(one.text) for one in await messages_of(runs, "t") if isinstance(one, ToolMessage)]


def opening(handle: str) -> dict[str, Any]:
    return calls(("open_result", {"handle": handle}))


async def test_a_branch_finds_nothing_of_what_the_one_it_left_had_read(
    services: Opened, runs: Runs, script: Script
) -> None:
    reads = [read(f"zephyr {n}") for n in range(3)]
    await runs.start("go", thread_id="t", context=script(*reads, SEARCH, say("x"), keep_tool_results=1), graph="react")
    found = (await results_of(runs, "t"))["open_result"]
    handles = openable(await _values(runs))
    turns = [SEARCH, opening(handles[0]), opening(UNKNOWN), say("Nothing.")]

    report = await _fork(runs, at="reason", context=script(*turns, keep_tool_results=9))

    assert "zephyr 0" in found
    assert len(await services.services.results.newest("t", handles)) == len(handles) == 3
    assert (report["outcome"], report["usage"]["tool_calls"]) == ("completed", 3)
    searched, of_another, unknown = await _read(runs)
    assert NOTHING in searched
    assert "this conversation has no result" in unknown
    assert of_another.replace(handles[0], UNKNOWN) == unknown  # told alike
    assert openable(await _values(runs)) == ()


async def test_a_replay_opens_what_was_read_before_it_and_not_what_came_after(runs: Runs, script: Script) -> None:
    reads = [read(f"zephyr {n}") for n in range(4)]
    await runs.start("go", thread_id="t", context=script(*reads, say("x"), keep_tool_results=1))
    rows = [row["checkpoint_id"] for row in await runs.history("t") if row["next"] == ["reason"]]
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_id": rows[1]}}  # about to read the fourth
    await runs.react.abulk_update_state(config, [[StateUpdate({"reason": ""}, as_node="compress_history")]])

    await runs.resume("t", context=script(*[say("never")] * 3, SEARCH, say("x"), keep_tool_results=9))

    found = (await _read(runs))[-1]
    assert [f"zephyr {n}" in found for n in range(4)] == [True, True, False, False]


async def test_what_was_read_before_a_person_was_asked_is_found_by_the_run_that_goes_on(
    services: Opened, runs: Runs, script: Script
) -> None:
    turns = [read("zephyr 0"), read("other"), calls(("ask_out", {"text": "lamps"})), SEARCH, say("x")]
    report = await runs.start("go", thread_id="t", context=script(*turns, keep_tool_results=1))
    await decide(services, ids_of(report)["ask_out"], "approve")

    await runs.resume("t", context=Context(keep_tool_results=9))

    assert "zephyr 0" in (await _read(runs))[-1]


async def test_a_handle_in_a_strangers_text_opens_nothing_and_is_not_taken_for_ours(runs: Runs, script: Script) -> None:
    """Also when it has the form of ours, and names what another branch has read."""
    long = read("zephyr 0", size=3 * MAX_CHARS)
    await runs.start("go", thread_id="t", context=script(long, SEARCH, say("x")))
    [handle] = openable(await _values(runs))
    assert "zephyr 0" in (await _read(runs))[-1]
    stranger = LONGER.format(more=7, handle=handle)
    turns = [read("short", end=stranger), read("y", size=50_000, end=stranger), SEARCH, opening(handle), say("x")]

    await _fork(runs, at="reason", context=script(*turns))

    short, cut, searched, opened = await _read(runs)
    assert handle in short
    assert cut.startswith("[Cut to")
    assert f'open_result(handle="{handle}") opens the rest' not in cut
    assert NOTHING in searched
    assert "this conversation has no result" in opened
    assert handle not in openable(await _values(runs))


PLANNED = [task("p", "page", text="zephyr 0", size=3 * MAX_CHARS), task("s", "open_result", "p", search="zephyr")]


@pytest.mark.parametrize("source", ["page", "records"])
async def test_a_task_of_a_plan_opens_what_another_one_has_just_read(runs: Runs, script: Script, source: str) -> None:
    planned = plan({**PLANNED[0], "tool": source}, PLANNED[1])
    await runs.start("go", thread_id="t", context=script(say("x"), lists={"planner": [planned]}), graph="plan")

    results = (await _values(runs))["results"]
    assert "zephyr 0" in results["s"]["text"]

    again = script(say("x"), lists={"planner": [plan(task("s", "open_result", search="zephyr"))]})
    await _fork(runs, at="plan", context=again)

    assert NOTHING in (await _values(runs))["results"]["s"]["text"]


async def test_a_long_result_beside_a_call_that_waits_can_be_opened_once_it_has_run(
    services: Opened, runs: Runs, script: Script
) -> None:
    tasks = [task("p", "page", text="zephyr 0", size=3 * MAX_CHARS), task("a", "ask_out", text="lamps")]
    later = task("s", "open_result", "a", search="zephyr")
    context = script(say("x"), lists={"planner": [plan(*tasks, later)]})
    report = await runs.start("go", thread_id="t", context=context, graph="plan")
    await decide(services, ids_of(report)["ask_out"], "approve")

    await runs.resume("t", context=Context())

    assert "zephyr 0" in (await _values(runs))["results"]["s"]["text"]


async def test_a_sub_task_opens_what_its_run_and_it_itself_have_read(
    services: Opened, runs: Runs, script: Script
) -> None:
    model = Recording(real=services.services.models, role="subtask")
    runs = with_parts(runs.opened, models=model)
    own = [read("zephyr 1", size=3 * MAX_CHARS), SEARCH, say("cellar")]
    lists = {
        "planner": [plan(PLANNED[0], task("s", "react", "p", task="Where is zephyr?"))],
        "subtasks": {"s": own, "o": [SEARCH, say("nowhere")]},
    }
    await runs.start("go", thread_id="t", context=script(say("x"), lists=lists), graph="plan")
    found = str(model.questions[2].messages[-1].text)
    lists["planner"] = [plan(task("o", "react", task="Where is zephyr?"))]

    await _fork(runs, at="plan", context=script(say("x"), lists=lists))

    assert ("zephyr 0" in found, "zephyr 1" in found) == (True, True)
    assert NOTHING in str(model.questions[-1].messages[-1].text)


async def test_what_an_effect_gave_keeps_its_handle_when_its_result_comes_from_the_ledger(
    services: Opened, runs: Runs, script: Script
) -> None:
    asks = calls(("ask_out", {"text": "zephyr 0", "size": 3 * MAX_CHARS}))
    context = script(asks, SEARCH, say("x"))
    report = await runs.start("go", thread_id="t", context=context)
    await decide(services, ids_of(report)["ask_out"], "approve")
    await runs.resume("t", context=context)
    [handle] = openable(await _values(runs))
    row = next(row for row in await runs.history("t") if row["next"] == ["act"] and row["step"] < 6)

    await runs.replay("t", row["checkpoint_id"])

    asked, searched = [one for one in await messages_of(runs, "t") if isinstance(one, ToolMessage)]
    assert asked.artifact == {WHOLE: handle, CUT: handle}
    assert "zephyr 0" in str(searched.text)
    [effect] = await services.ledger.of_thread("t")
    assert effect["attempts"] == 1


async def test_a_page_that_is_short_without_its_markup_can_be_opened_whole(runs: Runs, script: Script) -> None:
    """It is not cut again, as it takes little room; what lies behind its first part is found."""
    await runs.start("go", thread_id="t", context=script(calls(("web_page", {})), SEARCH, say("x")))

    first, searched = await _read(runs)
    assert "zephyr" not in first
    assert "zephyr 0" in searched
