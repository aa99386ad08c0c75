"""How a call ends: through the real ledger, with tools that time out, fail, lie and return anything."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from langchain_core.tools import BaseTool

from checkpoints.database import Pool
from graph.errors import ToolFailed, ToolUnavailable
from tests.integration.tools_bench import Bench, a_call
from tools.attempt import MAX_CHARS
from tools.base import Injected, tool

Build = Callable[..., Bench]


def _acting(
    act: Callable[[], Any], *, idempotent: bool = False, risk: Any = "medium", timeout_s: float = 60
) -> BaseTool:
    """A tool called `act` that does this and returns what it gives."""

    @tool(risk=risk, untrusted_output=False, idempotent=idempotent, timeout_s=timeout_s)
    async def act_(number: int = 0) -> Any:
        """Act."""
        given = act()
        return await given if asyncio.iscoroutine(given) else given

    act_.name = "act"
    return act_


def _raising(error: Exception) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


async def test_an_effect_is_done_once_and_its_stored_result_is_given_back(build: Build) -> None:
    count = itertools.count(1)
    bench = build(_acting(lambda: f"done {next(count)}"))

    first, again = await bench.run("act", number=1), await bench.run("act", number="1")
    other, later = await bench.run("act", number=2), await bench.run("act", number=1, occurrence=1)

    assert [(one.text, one.reused) for one in (first, again, other, later)] == [
        ("done 1", False), ("done 1", True), ("done 2", False), ("done 3", False),
    ]  # fmt: skip


async def test_a_low_repeatable_read_leaves_no_ledger_row_and_runs_each_time(build: Build) -> None:
    count = itertools.count(1)
    bench = build(_acting(lambda: next(count), risk="low", idempotent=True))

    assert [(await bench.run("act")).text for _ in range(2)] == ["1", "2"]
    assert await bench.states() == []
    assert bench.executor.intent("act", {}) is None


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (_raising(RuntimeError("boom")), "RuntimeError: boom"),
        (_raising(RecursionError()), "RecursionError"),
        (_never, "act did not answer within 0.05 s"),
    ],
)
@pytest.mark.parametrize(("idempotent", "state"), [(True, "failed"), (False, "unknown")])
async def test_an_unexpected_end_is_in_doubt_unless_the_tool_may_be_repeated(
    build: Build, act: Callable[[], Any], said: str, *, idempotent: bool, state: str
) -> None:
    bench = build(_acting(act, idempotent=idempotent, timeout_s=0.05))

    result = await bench.run("act")

    assert (result.ok, await bench.states()) == (False, [state])
    assert said in result.text
    assert (result.doubt is not None) is (not idempotent)


async def test_what_is_in_doubt_is_not_tried_again(build: Build) -> None:
    count = itertools.count(1)
    bench = build(_acting(lambda: next(count) / 0))

    await bench.run("act")
    result = await bench.run("act")

    assert (next(count), result.ok, result.reused) == (2, False, True)
    assert result.doubt
    assert "ZeroDivisionError" in result.text


async def test_a_tool_that_says_it_did_nothing_may_be_tried_again(build: Build) -> None:
    tries: list[int] = []

    def act() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ToolFailed("not now")
        return "done"

    bench = build(_acting(act))

    first, second = await bench.run("act"), await bench.run("act")

    assert (first.text, first.ok, second.text, second.ok) == ("not now", False, "done", True)
    [effect] = await bench.ledger.of_thread("t")
    assert (effect["state"], effect["attempts"]) == ("done", 2)


async def test_a_cancelled_call_is_found_in_doubt(build: Build) -> None:
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await _never()

    bench = build(_acting(hang))
    running = asyncio.create_task(bench.run("act"))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert (await bench.run("act")).doubt
    assert await bench.states() == ["unknown"]


class _Odd:
    def __str__(self) -> str:
        return "odd"


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ({"a": [1, "ü", None]}, '{"a": [1, "ü", null]}'),
        (None, "null"),
        (date(2026, 10, 5), '"2026-10-05"'),
        (_Odd(), '"odd"'),
        ({_Odd: 1}, "{<class "),
        (_circle(), "[[...]]"),
        ("a\0b\ud800", "a\\0b\\ud800"),
    ],
)
@pytest.mark.parametrize("risk", ["low", "medium"])
async def test_any_result_becomes_text_that_can_be_stored(build: Build, value: Any, text: str, risk: str) -> None:
    result = await build(_acting(lambda: value, risk=risk, idempotent=True)).run("act")

    assert result.ok
    assert result.text.startswith(text)


@pytest.mark.parametrize("act", [lambda: "x" * (MAX_CHARS + 7), _raising(ToolFailed("x" * (MAX_CHARS + 7)))])
async def test_a_long_result_or_fault_is_cut_and_says_by_how_much(build: Build, act: Callable[[], Any]) -> None:
    result = await build(_acting(act)).run("act")

    assert result.text == "x" * MAX_CHARS + "\n[cut: 7 more characters]"


async def test_a_result_of_exactly_the_limit_is_whole(build: Build) -> None:
    assert (await build(_acting(lambda: "x" * MAX_CHARS)).run("act")).text == "x" * MAX_CHARS


async def test_all_writes_of_a_transactional_tool_go_when_it_fails(build: Build, pool: Pool) -> None:
    tries = itertools.count(1)

    @tool(risk="low", untrusted_output=False, idempotent=False, transactional=True)
    async def act(how: str, context: Injected) -> str:
        """Act.

        Args:
            how: It ends.
        """
        async with context.database() as connection:
            await connection.execute("INSERT INTO written VALUES (%s)", (how,))
        async with context.database() as connection:
            await connection.execute("INSERT INTO written VALUES (%s)", (how,))
        if how == "fails":
            raise ToolFailed("no")
        if how == "away at first" and next(tries) == 1:
            raise ToolUnavailable("later", retry_after_s=0)
        return "done"

    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE written (how TEXT)")
    bench = build(act)

    failed, came_back = await bench.run("act", how="fails"), await bench.run("act", how="away at first")

    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT how FROM written")).fetchall()
    assert (failed.ok, came_back.ok) == (False, True)
    assert [row["how"] for row in rows] == ["away at first"] * 2
    assert await bench.states() == ["failed", "done"]


async def test_a_transactional_tool_whose_connection_is_cut_is_begun_anew_and_done_once(
    build: Build, pool: Pool
) -> None:
    tries = itertools.count(1)

    @tool(risk="low", untrusted_output=False, idempotent=False, transactional=True)
    async def act(context: Injected) -> str:
        """Act."""
        async with context.database() as connection:
            await connection.execute("INSERT INTO written VALUES ('once')")
            if next(tries) == 1:
                async with pool.connection() as other:
                    await other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
            await connection.execute("SELECT 1")
        return "done"

    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE written (how TEXT)")
    bench = build(act)

    result = await bench.run("act")

    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT how FROM written")).fetchall()
    assert (result.ok, result.text, len(rows), await bench.states()) == (True, "done", 1, ["done"])


async def test_a_call_is_not_begun_when_the_time_of_the_run_is_over(build: Build) -> None:
    bench = build(_acting(lambda: "never"))

    result = await bench.executor.run(a_call("act"), replace(bench.step("t"), seconds=-1), occurrence=0)

    assert "was not begun" in result.text
    assert (result.ok, result.doubt, await bench.states()) == (False, None, ["failed"])


async def test_a_call_may_take_no_longer_than_the_run_has_left(build: Build) -> None:
    bench = build(_acting(_never, idempotent=True, risk="low"))

    result = await bench.executor.run(a_call("act"), replace(bench.step("t"), seconds=0.05), occurrence=0)

    assert "did not answer within 0.05 s" in result.text


@pytest.mark.parametrize(
    ("error", "seconds", "failing"),
    [
        (ToolFailed("no such customer"), 60, ""),
        (KeyError("a bug"), 60, ""),
        (ConnectionError("gone"), 60, "failing"),
        (None, 0.01, ""),
    ],
)
async def test_a_tools_breaker_opens_for_its_own_trouble_alone(
    build: Build, error: Exception | None, seconds: float, failing: str
) -> None:
    bench = build(_acting(_raising(error) if error else _never, idempotent=False, risk="low"))

    for occurrence in range(6):
        step = replace(bench.step(f"t{occurrence}"), seconds=seconds)
        last = await bench.executor.run(a_call("act"), step, occurrence=0)

    assert ("is failing" in last.text) == bool(failing)
