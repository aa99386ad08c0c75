"""Threads with many turns: limits hold for each, what they spent together is told exactly, and is bounded too."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from benchmarks.__main__ import STORED
from checkpoints.database import Pool
from graph.context import Context, LocalContext
from graph.tools import ToolResult, Tools
from services.clock import FixedClock
from tests.integration.conftest import LIST, MAIL, READ, Script, calls, decide, ids_of, say
from tests.integration.planning import plan, task
from tests.integration.recording import runs_with, with_parts
from tests.integration.test_killed_calls import _hurry, _killed_in_a_call
from tests.integration.test_spending import PRICE

TURNS, DAY = 50, 86_400.0
TOOL_S = 2.0
FIGURES = ("iterations", "model_calls", "tool_calls", "prompt_tokens", "completion_tokens")
CENTS = {"input_tokens": 100, "output_tokens": 10}
"""A dime, by PRICE."""
COSTS = {"price": PRICE}


def paid(turn: dict[str, Any]) -> dict[str, Any]:
    return {**turn, "usage": CENTS}


def added(usages: list[dict[str, Any]]) -> dict[str, Any]:
    """What `totals` must be after runs that spent this."""
    return {
        "runs": len(usages),
        **{name: sum(usage[name] for usage in usages) for name in FIGURES},
        "cost_usd": pytest.approx(sum(usage["cost_usd"] for usage in usages)),
        "seconds": pytest.approx(sum(usage["seconds"] for usage in usages)),
    }


class Slow:
    """Tools that take two seconds of an injected clock."""

    def __init__(self, tools: Tools, clock: FixedClock) -> None:
        self._tools, self._clock = tools, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tools, name)

    async def run(self, *args: Any, **named: Any) -> ToolResult:
        self._clock.move(TOOL_S)
        return await self._tools.run(*args, **named)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def slow(services: Opened, clock: FixedClock) -> Runs:
    tools: Any = Slow(services.services.tools, clock)
    return with_parts(services, clock=clock, tools=tools)


async def _stored(pool: Pool) -> int:
    async with pool.connection() as connection:
        cursor = await connection.execute(STORED.encode(), {"t": "t"})
        [bytes_] = (await cursor.fetchone() or {}).values()
    return int(bytes_)


async def test_fifty_turns_over_as_many_days_each_have_their_limits_and_add_up(
    slow: Runs, script: Script, clock: FixedClock, pool: Pool
) -> None:
    """Some ask for more calls than a turn may make, some for more money; some are plans, some answered at once."""
    limits: dict[str, Any] = {
        "max_tool_calls": 2,
        "max_seconds": 10,
        "max_usd": 0.25,
        "fold_share": 0.9,
    }  # nothing is folded
    usual = script(paid(calls(LIST, READ)), paid(say("Looked.")), lists=COSTS, **limits)
    greedy = script(paid(calls(LIST)), paid(calls(LIST, LIST)), lists=COSTS, **limits)
    short = script(paid(say("Yes.")), lists=COSTS, **limits)
    dear = script(paid(calls(LIST)), paid(calls(LIST)), paid(say("Too late.")), lists=COSTS, **limits)
    planner = [paid(plan(task("a", "list_files"), task("b", "read_file", path="docs/travel-policy.md")))]
    planned = script(paid(say("Planned.")), lists={**COSTS, "planner": planner}, **{**limits, "max_usd": 2.0})
    usages: list[dict[str, Any]] = []
    stored: list[int] = []
    for turn in range(1, TURNS + 1):
        context, ends, graph = usual, "completed", "react"
        if turn % 5 == 0:
            context, ends = greedy, "stopped_tool_calls"
        elif turn % 7 == 0:
            context, graph = planned, "plan"
        elif turn % 11 == 0:
            context = short
        elif turn % 13 == 0:
            context, ends = dear, "stopped_cost"

        report = await slow.start(f"turn {turn}", thread_id="t", context=context, graph=graph)

        assert report["outcome"] == ends, report["answer"]
        usages.append(report["usage"])
        assert report["usage"]["tool_calls"] <= 2
        assert report["usage"]["seconds"] <= 2 * TOOL_S
        assert report["usage"]["cost_usd"] <= context.max_usd
        assert report["totals"] == added(usages)
        stored.append(await _stored(pool))
        clock.move(DAY)

    assert report["totals"]["seconds"] == TOOL_S * report["totals"]["tool_calls"]
    # Turns of the same kind: each tenth is one that is stopped.
    tens = [stored[last] - stored[last - 1] for last in (19, 29, 39, 49)]
    assert max(tens) < 1.02 * min(tens), tens


async def test_a_turn_killed_in_its_middle_and_resumed_adds_up_with_the_call_that_was_lost(
    database_url: str, tmp_path: Path, script: Script
) -> None:
    first = script(paid(calls(LIST)), paid(say("One.")), lists=COSTS, tenant="mine")
    second = script(paid({**say("Two."), "delay_s": 60}), lists=COSTS, tenant="mine")
    async with runs_with(database_url, tmp_path / "home") as runs:
        one = (await runs.start("one", thread_id="t", context=first))["usage"]
    told = {"home": str(tmp_path / "home"), "fields": second.kept(), "anew": True}
    assert await _killed_in_a_call(database_url, told)
    _hurry(second)

    async with runs_with(database_url, tmp_path / "home") as runs:
        report = await runs.resume("t", context=Context())

    assert (report["outcome"], report["answer"], report["usage"]["model_calls"]) == ("completed", "Two.", 2)
    assert report["totals"] == added([one, report["usage"]])
    assert report["totals"]["cost_usd"] == pytest.approx(0.4)


async def test_what_waited_overnight_counts_the_turn_once_and_no_night(
    slow: Runs, services: Opened, script: Script, clock: FixedClock
) -> None:
    usages = [(await slow.start("one", thread_id="t", context=script(paid(calls(LIST)), say("One."))))["usage"]]
    asking = script(paid(calls(MAIL)), paid(say("Sent.")), max_seconds=10)
    waits = await slow.start("two", thread_id="t", context=asking)
    assert (waits["outcome"], waits["totals"]) == ("awaiting_approval", added([*usages, waits["usage"]]))
    row = await services.runs.get("t")
    assert row is not None
    assert row.tokens == waits["totals"]["prompt_tokens"] + waits["totals"]["completion_tokens"]

    clock.move(10 * 3_600)
    await decide(services, ids_of(waits)["send_email"], "approve")
    report = await slow.resume("t", context=Context())

    assert (report["outcome"], report["usage"]["seconds"]) == ("completed", TOOL_S)
    assert report["totals"] == added([*usages, report["usage"]])


async def test_a_replayed_turn_counts_on_its_own_branch(runs: Runs, script: Script) -> None:
    usages = []
    for turn in range(3):
        context = script(paid(calls(LIST)), paid(say(f"{turn}")))
        usages.append((await runs.start(f"turn {turn}", thread_id="t", context=context))["usage"])
    ends = [row["checkpoint_id"] for row in await runs.history("t") if row["node"] == "act"]

    report = await runs.replay("t", ends[1])

    assert report["totals"] == added([usages[0], report["usage"]])
    again = await runs.start("and on", thread_id="t", context=script(paid(say("On."))))
    assert again["totals"] == added([usages[0], report["usage"], again["usage"]])


@pytest.mark.parametrize("graph", ["react", "plan"])
@pytest.mark.parametrize(
    ("limit", "raised", "outcome", "why"),
    [
        ({"max_thread_usd": 0.35}, {"max_thread_usd": 0.45}, "stopped_cost", "cost of the thread: 0.3000 USD"),
        ({"max_thread_tokens": 385}, {"max_thread_tokens": 440}, "stopped_tokens", "tokens of the thread: 330 used"),
    ],
)
async def test_a_thread_stops_at_its_own_limit_before_a_call_and_goes_on_once_that_is_raised(  # noqa: PLR0913, PLR0917 - fixtures
    runs: Runs,
    script: Script,
    graph: str,
    limit: dict[str, Any],
    raised: dict[str, Any],
    outcome: str,
    why: str,
) -> None:
    def asked(**limits: Any) -> LocalContext:
        return script(paid(say("Yes.")), lists={**COSTS, "planner": [paid(plan())]}, **limits)

    usages = []
    for _ in range(3):
        report = await runs.start("go", thread_id="t", context=asked(**limit))
        assert report["outcome"] == "completed"
        usages.append(report["usage"])

    stopped = await runs.start("go", thread_id="t", context=asked(), graph=graph)

    assert (stopped["outcome"], stopped["usage"]["model_calls"]) == (outcome, 0)
    assert stopped["answer"].startswith(f"Stopped: {why}")
    assert stopped["totals"] == added([*usages, stopped["usage"]])
    report = await runs.start("go", thread_id="t", context=asked(**raised))
    assert report["outcome"] == "completed"
    assert report["totals"]["runs"] == 5


@pytest.mark.parametrize("graph", ["react", "plan"])
async def test_what_a_turn_has_spent_so_far_counts_once_whichever_node_asks(
    runs: Runs, script: Script, graph: str
) -> None:
    """Counted twice, the last call would have no room."""
    dear = {"usage": {"input_tokens": 5_000, "output_tokens": 0}}
    planner = [{**plan(task("a", "list_files")), **dear}]
    await runs.start("one", thread_id="t", context=script(paid(say("One."))))
    steps = [{**calls(LIST), **dear}] if graph == "react" else []

    context = script(*steps, paid(say("Two.")), lists={"planner": planner}, max_thread_tokens=6_300)
    report = await runs.start("two", thread_id="t", context=context, graph=graph)

    assert (report["outcome"], report["answer"]) == ("completed", "Two.")
    assert report["totals"]["prompt_tokens"] == 5_200


@pytest.mark.parametrize("graph", ["react", "plan"])
async def test_a_turn_whose_first_node_breaks_counts_nothing_twice(
    services: Opened, runs: Runs, script: Script, graph: str
) -> None:
    class Bug:
        async def complete(self, *_: Any, **__: Any) -> Any:
            raise KeyError("a bug")

    one = await runs.start("one", thread_id="t", context=script(paid(calls(LIST)), paid(say("One.")), lists=COSTS))
    models: Any = Bug()
    broken = Runs(
        opened=dataclasses.replace(services, services=dataclasses.replace(services.services, models=models)),
        progress=lambda _node, _change: None,
    )

    two = await broken.start("two", thread_id="t", context=script(say("never")), graph=graph)
    three = await runs.start("three", thread_id="t", context=script(paid(say("Three.")), lists=COSTS))

    assert (two["outcome"], two["usage"]["model_calls"]) == ("model_failed", 0)
    assert three["totals"] == added([one["usage"], two["usage"], three["usage"]])
