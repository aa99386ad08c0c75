"""Runs whose history is folded, in forked processes that kill themselves with SIGKILL at a step of a fold.

A program of its own, as `kill_points.py` is: `python fold_kills.py DATABASE_URL WORKSPACE REACT_SCRIPT PLAN_SCRIPT`.
Prints a JSON object: by graph, by step ("" is undisturbed), what is left of the run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig

from app import loop
from app.lifespan import Opened, opened
from app.runs import Runs
from checkpoints.saver import PostgresSaver
from graph.budget import Budget
from graph.context import Context, LocalContext
from graph.models import Models, Question, Reply
from graph.results import Results, Whole
from services.settings import load

STEPS = ("before keep", "after keep", "replied", "before writes", "before checkpoint", "after checkpoint")
"""Of a fold: results are kept, the summarizer replies, the node's writes are stored, and then its checkpoint."""
FOLDS = {"react": 2, "plan": 1}
"""Which fold dies, by graph: the last."""


@dataclasses.dataclass(kw_only=True)
class Doom:
    """Dies when it comes to this step for the last time of so many."""

    step: str
    left: int

    def reach(self, step: str) -> None:
        self.left -= step == self.step
        if step == self.step and self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keeping:
    """The store of results, and death before or after it is written to."""

    real: Results
    doom: Doom

    async def keep(self, thread_id: str, wholes: Sequence[Whole], *, claim: int | None) -> bool:
        self.doom.reach("before keep")
        kept = await self.real.keep(thread_id, wholes, claim=claim)
        self.doom.reach("after keep")
        return kept

    async def opened(self, thread_id: str, handle: str) -> Whole | None:
        return await self.real.opened(thread_id, handle)

    async def newest(self, thread_id: str, handles: Sequence[str]) -> Sequence[Whole]:
        return await self.real.newest(thread_id, handles)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summarizing:
    """The models, and death once the summarizer has replied, and is paid for."""

    real: Models
    doom: Doom

    async def complete(self, chain: str, question: Question, *, budget: Budget, first: int = 0) -> Reply:
        reply = await self.real.complete(chain, question, budget=budget, first=first)
        if question.role == "summarizer":
            self.doom.reach("replied")
        return reply

    def usd(self, chain: str, prompt_tokens: int, completion_tokens: int) -> float:
        return self.real.usd(chain, prompt_tokens, completion_tokens)


class FoldSaver(PostgresSaver):
    """Dies at the writes of a fold: those that change the summary."""

    doom: Doom

    async def aput(self, config: RunnableConfig, *given: Any, **named: Any) -> RunnableConfig:
        folds = "summary" in given[-1]  # the new versions
        if folds:
            self.doom.reach("before checkpoint")
        stored = await super().aput(config, *given, **named)
        if folds:
            self.doom.reach("after checkpoint")
        return stored

    async def aput_writes(self, config: RunnableConfig, writes: Any, *given: Any, **named: Any) -> None:
        if any(channel == "summary" for channel, _ in writes):
            self.doom.reach("before writes")
        await super().aput_writes(config, writes, *given, **named)


def in_a_process(url: str, doom: Doom, do: Callable[[Runs], Awaitable[Any]]) -> Any:
    """What `do` returned, or None when the process killed itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            out.write(json.dumps(asyncio.run(_session(url, doom, do)), default=str))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as read:
        told = read.read()
    _, status = os.waitpid(child, 0)
    assert told or os.WIFSIGNALED(status), "a process failed"
    return json.loads(told) if told else None


async def _session(url: str, doom: Doom, do: Callable[[Runs], Awaitable[Any]]) -> Any:
    async with opened(load(database_url=url, openai_api_key=None)) as whole:
        saver = FoldSaver(whole.pool, serde=whole.saver.serde)
        saver.doom = doom
        results, models = whole.services.results, whole.services.models
        services = dataclasses.replace(
            whole.services,
            results=Keeping(real=results, doom=doom),
            models=Summarizing(real=models, doom=doom),
            writes=saver,
        )
        engine: Opened = dataclasses.replace(whole, saver=saver, services=services)
        return await do(Runs(opened=engine, progress=lambda _node, _change: None))


def play(url: str, graph: str, step: str, context: LocalContext) -> dict[str, Any]:
    """A run to its end, killed at this step of its last fold and resumed."""
    thread = f"{graph} {step}"

    async def start(runs: Runs) -> Any:
        return await runs.start("go", thread_id=thread, context=context, graph=graph)

    async def end(runs: Runs) -> Any:
        report = await runs.resume(thread, context=Context())
        values, results = (await runs.known(thread)).values, runs.opened.services.results
        asked = [call["id"] for one in values["messages"] for call in getattr(one, "tool_calls", ())]
        handles = [fact["text"] for fact in values["facts"] if fact["kind"] == "result"]
        return {
            "report": report,
            "messages": [(one.type, one.text) for one in values["messages"]],
            "paired": [one.tool_call_id for one in values["messages"] if one.type == "tool"] == asked,
            "summary": values["summary"].splitlines(),
            "facts": [(fact["kind"], fact["text"]) for fact in values["facts"]],
            "opened": [whole and whole.text for handle in handles for whole in [await results.opened(thread, handle)]],
            "kept": len(await results.newest(thread, handles)),
            "folds": values["usage"]["folds"],
        }

    killed = in_a_process(url, Doom(step=step, left=FOLDS[graph]), start) is None
    return {"killed": killed, **in_a_process(url, Doom(step="", left=0), end)}


def main(url: str, workspace: str, react: str, plan: str) -> None:
    """Kill at each step of the last fold of each graph."""
    loop.settle()  # else every process that is forked walks, and so copies, all that was imported
    played: dict[str, dict[str, Any]] = {}
    for graph, script in (("react", react), ("plan", plan)):
        context = LocalContext(model=f"scripted:{script}", workspace=Path(workspace), keep_tool_results=1)
        played[graph] = {step: play(url, graph, step, context) for step in ("", *STEPS)}
    sys.stdout.write(json.dumps(played))


if __name__ == "__main__":
    main(*sys.argv[1:])
