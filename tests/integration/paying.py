"""A program of its own: a run whose tool pays over HTTP, with httpx, and can be killed between call and record.

`python paying.py DATABASE_URL SERVICE_URL SCRIPT start|resume verify|blind [die]`
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import httpx

from app.lifespan import opened
from app.runs import Runs
from graph.context import Context, LocalContext
from services.settings import load
from tools.base import Injected, ToolContext, tool
from tools.execute import Executor
from tools.registry import ToolBox


def box(service: str, *, verifies: bool, dies: bool) -> ToolBox:
    """One tool, `pay`."""

    async def was_paid(amount: int, context: ToolContext) -> str | bool:
        async with httpx.AsyncClient() as client:
            found = await client.get(f"{service}/{context.idempotency_key}")
        return found.text if found.is_success else False

    @tool(risk="low", untrusted_output=False, idempotent=False, verify=was_paid if verifies else None)
    async def pay(amount: int, context: Injected) -> str:
        """Pay.

        Args:
            amount: How much.
        """
        async with httpx.AsyncClient() as client:
            if dies and amount < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = await client.post(service, json={"amount": amount}, headers=context.headers)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer.text

    return ToolBox([pay])


async def main(url: str, service: str, script: str, what: str, checks: str, *dies: str) -> None:
    """Start the run or resume it; prints its report."""
    async with opened(load(database_url=url, openai_api_key=None)) as services:
        executor = Executor(box(service, verifies=checks == "verify", dies=bool(dies)), services.ledger)
        engine = dataclasses.replace(services, services=dataclasses.replace(services.services, tools=executor))
        runs = Runs(opened=engine, progress=lambda _node, _change: None)
        if what == "start":
            context = LocalContext(model=f"scripted:{script}", workspace=Path(script).parent)
            report = await runs.start("go", thread_id="t", context=context)
        else:
            report = await runs.resume("t", context=Context())
        sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
