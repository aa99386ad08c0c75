"""Tools that block, never return, or try to end the process; each in a real process where that matters."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as plain_tool

from checkpoints.database import Pool
from tests.integration.tools_bench import Bench, bench_on
from tools.base import Injected, tool
from tools.calling import Calling, watched
from tools.registry import ToolBox

PROGRAM = """
import asyncio, sys, threading
from pathlib import Path
from checkpoints.database import open_pool
from tests.integration.tools_bench import bench_on
from tools.base import tool
from tools.registry import ToolBox
@tool(risk=sys.argv[2], untrusted_output=False, idempotent=sys.argv[2] == "low", timeout_s=0.2)
def hang() -> str:
    "Hang."
    threading.Event().wait()
    return ""
async def main():
    async with open_pool(sys.argv[1]) as pool:
        bench = bench_on(pool, Path(sys.argv[3]), box=ToolBox([hang]))
        print((await bench.run("hang")).text, await bench.states())
asyncio.run(main())
"""


class _End(BaseException):
    pass


def _bench(pool: Pool, tmp_path: Path, *tools: BaseTool) -> Bench:
    return bench_on(pool, tmp_path / "office", box=ToolBox(tools))


@pytest.mark.parametrize(("risk", "states"), [("low", "[]"), ("medium", "['unknown']")])
def test_a_process_ends_though_a_blocking_tool_never_returns(
    database_url: str, pool: Pool, tmp_path: Path, risk: str, states: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database_url, risk, str(tmp_path / "office")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert done.stdout == f"hang did not answer within 0.2 s {states}\n"


async def test_a_blocking_tool_has_a_thread_of_its_own_its_context_and_its_variables(
    pool: Pool, tmp_path: Path
) -> None:
    seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen")
    seen.set("here")

    @tool(risk="medium", untrusted_output=False, idempotent=False)
    def act(context: Injected) -> list[str]:
        """Act."""
        return [context.thread_id, threading.current_thread().name, seen.get()]

    assert await _bench(pool, tmp_path, act).said("act") == '["t", "tool act", "here"]'


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), _End("x"), StopIteration(1)])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_tool_that_tries_to_end_the_process_is_an_answer(
    pool: Pool, tmp_path: Path, error: BaseException, *, waits: bool
) -> None:
    def blocking() -> str:
        """Act."""
        raise error

    async def waiting() -> str:
        """Act."""
        raise error

    made = tool(risk="medium", untrusted_output=False, idempotent=False)(waiting if waits else blocking)
    made.name = "act"
    bench = _bench(pool, tmp_path, made)

    result = await bench.run("act")

    assert (result.ok, bool(result.doubt)) == (False, True)
    assert type(error).__name__ in result.text
    assert await bench.states() == ["unknown"]


async def test_what_cancels_itself_is_an_answer_too(pool: Pool, tmp_path: Path) -> None:
    @tool(risk="medium", untrusted_output=False, idempotent=False)
    async def act() -> str:
        """Act."""
        raise asyncio.CancelledError

    assert "it cancelled itself" in (await _bench(pool, tmp_path, act).run("act")).text


class _Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("no words")


async def test_what_was_done_is_done_also_when_its_result_can_not_be_shown(pool: Pool, tmp_path: Path) -> None:
    @tool(risk="medium", untrusted_output=False, idempotent=False)
    async def act() -> Any:
        """Act."""
        return _Unshowable()

    bench = _bench(pool, tmp_path, act)

    assert "_Unshowable that can't be shown: RuntimeError" in await bench.said("act")
    assert await bench.states() == ["done"]


def _deaf(until: asyncio.Event) -> Callable[[], Any]:
    async def act() -> str:
        while not until.is_set():
            try:
                await until.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    return act


async def test_a_call_that_will_not_end_is_left_and_known_to_go_on(pool: Pool, tmp_path: Path) -> None:
    until = asyncio.Event()
    checks: list[bool] = []

    async def verify(**_: Any) -> bool:
        checks.append(True)
        return False

    @tool(risk="medium", untrusted_output=False, idempotent=False, timeout_s=0.05, verify=verify)
    async def act() -> str:
        """Act."""
        return str(await _deaf(until)())

    bench = _bench(pool, tmp_path, act)

    first, second = await bench.run("act"), await bench.run("act")
    until.set()

    assert (first.text, bool(first.doubt), bool(second.doubt)) == ("act did not answer within 0.05 s", True, True)
    assert (len(checks), await bench.states()) == (2, ["unknown"])


async def test_what_happens_while_a_check_looks_is_not_taken_for_nothing(pool: Pool, tmp_path: Path) -> None:
    until, happened, threads = threading.Event(), threading.Event(), list[threading.Thread]()

    async def verify(**_: Any) -> bool:
        looked = happened.is_set()
        until.set()
        await asyncio.to_thread(threads[0].join)
        return looked

    @tool(risk="medium", untrusted_output=False, idempotent=False, timeout_s=0.05, verify=verify)
    def act() -> str:
        """Act."""
        threads.append(threading.current_thread())
        until.wait()
        happened.set()
        return "late"

    bench = _bench(pool, tmp_path, act)

    result = await bench.run("act")

    assert (happened.is_set(), bool(result.doubt), await bench.states()) == (True, True, ["unknown"])


ODD = """
from __future__ import annotations
from typing import TYPE_CHECKING
from langchain_core.tools import BaseTool
if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForToolRun
class Odd(BaseTool):
    name: str = "act"
    description: str = "Act."
    def _run(self, number: int) -> str:
        raise NotImplementedError
    async def _arun(self, number: int, run_manager: AsyncCallbackManagerForToolRun | None = None) -> str:
        return f"{number}, {run_manager is not None}"
"""


async def test_a_tool_with_annotations_for_type_checkers_only_is_taken_too() -> None:
    names: dict[str, Any] = {"__name__": "odd"}
    exec(ODD, names)  # noqa: S102 - our own text: the linter would move the import
    odd = names["Odd"]()

    assert await Calling(watched(odd)).within({"number": 2}, 5, patient=False) == "2, True"


async def test_arguments_that_look_like_a_call_are_arguments(pool: Pool, tmp_path: Path) -> None:
    @tool(risk="medium", untrusted_output=False, idempotent=False)
    async def act(type: str) -> str:  # noqa: A002 - its name is the point
        """Act.

        Args:
            type: Of what.
        """
        return type

    assert await _bench(pool, tmp_path, act).said("act", type="tool_call") == "tool_call"


async def test_a_plain_blocking_langchain_tool_needs_no_executor() -> None:
    @plain_tool
    def act(number: int) -> str:
        """Act."""
        return f"{number} in {threading.current_thread().name}"

    assert await Calling(watched(act)).within({"number": 2}, 5, patient=False) == "2 in tool act"
