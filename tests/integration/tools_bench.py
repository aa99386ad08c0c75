"""A tool call as `act` makes it: assessed by the box, then run through the real ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from checkpoints.database import Pool
from checkpoints.ledger import Ledger
from graph.results import Results
from graph.state import Call
from graph.tools import Step, ToolResult
from services.endpoints import endpoints_of
from services.settings import load
from tools import office
from tools.execute import Executor
from tools.registry import ToolBox


@dataclass(frozen=True, kw_only=True)
class Bench:
    executor: Executor
    ledger: Ledger
    pool: Pool
    workspace: Path
    opens: Sequence[str] = ()
    """As `Step.opens`."""

    def opening(self, *handles: str) -> Bench:
        """The same for a branch that has read these."""
        return replace(self, opens=handles)

    async def run(self, tool: str, /, *, thread: str = "t", occurrence: int = 0, **args: Any) -> ToolResult:
        assessed = await self.executor.assess(tool, args)
        assert assessed.error is None, assessed.error
        call = Call(id="c1", name=tool, args=assessed.args, risk=assessed.risk, reason=assessed.reason, status="ready")
        return await self.executor.run(call, self.step(thread), occurrence=occurrence)

    def step(self, thread: str) -> Step:
        return Step(thread_id=thread, workspace=self.workspace, opens=self.opens)

    async def said(self, tool: str, /, **args: Any) -> str:
        """The result of a call that succeeds."""
        result = await self.run(tool, **args)
        assert result.ok, result.text
        return result.text

    async def refusal(self, tool: str, /, **args: Any) -> str:
        """Why a call fails. Of an effect it must also be recorded that nothing was done."""
        result = await self.run(tool, **args)
        assert not result.ok, result.text
        assert result.doubt is None
        return result.text

    async def states(self, thread: str = "t") -> list[str]:
        """The ledger's states for the thread, the oldest first."""
        return [effect["state"] for effect in await self.ledger.of_thread(thread)]

    async def rows(self, table: str) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection:
            return await (await connection.execute(f"SELECT * FROM {table} ORDER BY id".encode())).fetchall()  # noqa: S608


def bench_on(
    pool: Pool,
    workspace: Path,
    *,
    box: ToolBox | None = None,
    smtp_url: str | None = None,
    results: Results | None = None,
) -> Bench:
    workspace.mkdir(exist_ok=True)
    ledger = Ledger(pool)
    secret = SecretStr(smtp_url) if smtp_url else None
    executor = Executor(box or office.toolbox(), ledger, endpoints_of(load()), smtp_url=secret, results=results)
    return Bench(executor=executor, ledger=ledger, pool=pool, workspace=workspace)


def a_call(name: str, **args: Any) -> Call:
    """One that may run."""
    return Call(id="c", name=name, args=args, risk="low", reason="", status="ready")
