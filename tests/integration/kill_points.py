"""Runs the react graph in forked processes that kill themselves at a chosen write to Postgres.

A program of its own (`python kill_points.py DATABASE_URL WORKSPACE SCRIPT`): forking a process that is small
and has no threads is quick and safe. Prints a JSON list, a case a line of the matrix, for `test_kill_points.py`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig

from app import loop
from app.lifespan import Opened, opened
from app.runs import Runs
from checkpoints.saver import PostgresSaver
from graph.context import Context, LocalContext
from services.settings import load

NEVER = 10_000


class DyingSaver(PostgresSaver):
    """Ends the process, as a power cut would, instead of write number `left`."""

    left: int

    async def aput(self, *given: Any, **named: Any) -> RunnableConfig:
        self._live_or_die()
        return await super().aput(*given, **named)

    async def aput_writes(self, *given: Any, **named: Any) -> None:
        self._live_or_die()
        await super().aput_writes(*given, **named)

    def _live_or_die(self) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


def in_a_process(url: str, writes: int, do: Callable[[Runs, Opened], Awaitable[Any]]) -> Any:
    """What `do` returned, or None when the process killed itself after `writes` writes."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            out.write(json.dumps(asyncio.run(_session(url, writes, do)), default=str))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as read:
        told = read.read()
    os.waitpid(child, 0)
    return json.loads(told) if told else None


async def _session(url: str, writes: int, do: Callable[[Runs, Opened], Awaitable[Any]]) -> Any:
    async with opened(load(database_url=url, openai_api_key=None)) as services:
        saver = DyingSaver(services.pool, serde=services.saver.serde)
        saver.left = writes
        engine = dataclasses.replace(services, saver=saver)
        return await do(Runs(opened=engine, progress=lambda _node, _change: None), engine)


def play(url: str, thread: str, context: LocalContext, *, first: int = NEVER, second: int = NEVER) -> dict[str, Any]:
    """The whole run: killed after `first` writes, resumed until it asks, decided, killed again, resumed to the end."""
    workspace = context.workspace.with_name(thread)
    shutil.copytree(context.workspace, workspace)
    context = context.model_copy(update={"workspace": workspace})

    async def start(runs: Runs, _: Opened) -> Any:
        return await runs.start("go", thread_id=thread, context=context)

    async def resume(runs: Runs, _: Opened) -> Any:
        try:
            return await runs.resume(thread, context=Context())
        except ValueError:  # killed before its first write: nothing was begun, so nothing is lost
            return await start(runs, _)

    async def decide(_: Runs, services: Opened) -> Any:
        for row in await services.approvals.find(thread_id=thread, pending=True):
            await services.approvals.decide(row.id, {"type": "approve"}, by="ann")

    async def look(runs: Runs, services: Opened) -> Any:
        snapshot = await runs.known(thread)
        return {
            "messages": [(m.type, m.text, m.id if m.type == "tool" else "") for m in snapshot.values["messages"]],
            "effects": [
                (e["tool"], e["state"], e["attempts"], e["result"]) for e in await services.ledger.of_thread(thread)
            ],
            "mails": len(list((workspace / "outbox/new").iterdir())),
            "approvals": [(row.tool, row.status) for row in await services.approvals.find(thread_id=thread)],
        }

    killed = [in_a_process(url, first, start) is None]
    asked = in_a_process(url, NEVER, resume)
    in_a_process(url, NEVER, decide)
    killed.append(in_a_process(url, second, resume) is None)
    ended = in_a_process(url, NEVER, resume)
    usage = {name: ended["usage"][name] for name in ("iterations", "tool_calls")}
    spent = {name: ended["usage"][name] for name in ("model_calls", "prompt_tokens")}
    return {
        "killed": killed,
        "asked": asked["outcome"],
        "outcome": ended["outcome"],
        "answer": ended["answer"],
        "usage": usage,
        "spent": spent,
        **in_a_process(url, NEVER, look),
    }


def main(url: str, workspace: str, script: str) -> None:
    """Kill at each write of the first half, then at each of the second, until a run gets through alive."""
    context = LocalContext(model=f"scripted:{script}", workspace=Path(workspace), keep_tool_results=2)
    loop.settle()  # else every process that is forked walks, and so copies, all that was imported
    cases = [play(url, "undisturbed", context)]
    for half, name in enumerate(("first", "second")):
        for writes in range(NEVER):
            limit: dict[str, Any] = {name: writes}
            cases.append(play(url, f"{name}-{writes}", context, **limit))
            if not cases[-1]["killed"][half]:
                break
    sys.stdout.write(json.dumps(cases))


if __name__ == "__main__":
    main(*sys.argv[1:])
