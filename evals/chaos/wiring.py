"""Sets a trap in a process: wraps what is open, from outside, so that the product has no hook for it.

Done in a process that was forked for one attempt and ends with it: what is changed here is changed for no other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from langgraph.graph import StateGraph
from psycopg import AsyncConnection

from app.lifespan import Opened
from app.runs import Runs
from evals.chaos.notices import post_notice
from evals.chaos.trap import Trap
from graph import plan_execute, react
from graph.durable import DurableGraph, durable
from tools import office
from tools.registry import ToolBox

Asynchronous = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class TrappedRuns(Runs):
    """Runs whose nodes pass the trap."""

    trap: Trap
    streams: bool = False
    """Whether the model is asked for streams, as it is where a client watches the words come."""

    @cached_property
    def react(self) -> DurableGraph:
        """See `Runs.react`."""
        return self._trapped("react", react.build())

    @cached_property
    def plan(self) -> DurableGraph:
        """See `Runs.plan`."""
        return self._trapped("plan", plan_execute.build())

    def _trapped(self, graph_name: str, builder: StateGraph[Any, Any, Any, Any]) -> DurableGraph:
        """The graph, each node wrapped."""
        for name, spec in builder.nodes.items():
            node: Any = spec.runnable
            node.afunc = _trapped_node(name, node.afunc, self.trap)
        graph = durable(builder, self._engine, name=graph_name, checkpointer=self.opened.saver)
        if self.streams:
            _watch_words(graph)
        return graph


def add_tools() -> None:
    """From now on this process's tool box has the suite's own tool as well. To be called before the services open."""
    tools = [*office.toolbox().offered(), post_notice]
    vars(office)["toolbox"] = lambda policy, more, handlings: ToolBox([*tools, *more], policy, handlings)


def set_trap(opened: Opened, trap: Trap) -> None:
    """Wrap the saver, the ledger, the approvals, the models and the tools of this process."""
    _around(opened.saver, "aput", trap, "checkpoint.before", "checkpoint.after")
    _around(opened.saver, "aput_writes", trap, "writes.before", "writes.after")
    approvals, services = opened.approvals, opened.services
    _around(approvals, "ask", trap, None, "approve.inside")
    _around(approvals, "apply", trap, "approve.inside", None)
    _around(approvals, "decide", trap, "decide.before", "decide.after")
    _around(services.tools, "run", trap, "{node}.inside", "{node}.inside")
    _wrap_models(services.models, trap)
    _wrap_ledger(opened.ledger, trap)
    _wrap_annotations(services.telemetry, trap)
    _around(AsyncConnection, "wait", trap, "round_trip", None)


def _watch_words(graph: Any) -> None:
    """Who asks for `messages` makes LangGraph stream the model."""
    inner = graph.astream

    async def astream(*given: Any, stream_mode: Any, **named: Any) -> AsyncIterator[Any]:
        async for mode, chunk in inner(*given, stream_mode=[stream_mode, "messages"], **named):
            if mode == stream_mode:
                yield chunk

    graph.astream = astream


def _around(owner: Any, name: str, trap: Trap, before: str | None, after: str | None) -> None:
    inner: Asynchronous = getattr(owner, name)

    async def wrapped(*given: Any, **named: Any) -> Any:
        if before:
            trap.reach(before.format(node=trap.node))
        result = await inner(*given, **named)
        if after:
            trap.reach(after.format(node=trap.node))
        return result

    setattr(owner, name, wrapped)


def _wrap_models(models: Any, trap: Trap) -> None:
    inner: Asynchronous = models.complete

    async def complete(*given: Any, **named: Any) -> Any:
        trap.asked += 1
        trap.reach(f"{trap.node}.inside")
        reply = await inner(*given, **named)
        trap.reach(f"{trap.node}.inside")
        return reply

    models.complete = complete


def _wrap_ledger(ledger: Any, trap: Trap) -> None:
    inner: Asynchronous = ledger.run_once

    async def run_once(effect: Asynchronous, *given: Any, **named: Any) -> Any:
        async def trapped(*attempt: Any, **options: Any) -> Any:
            trap.reach("effect.before")
            ended = await effect(*attempt, **options)
            trap.reach("effect.after")
            return ended

        recorded = await inner(trapped, *given, **named)
        trap.reach("effect.recorded")
        return recorded

    ledger.run_once = run_once


def _wrap_annotations(telemetry: Any, trap: Trap) -> None:
    """`finish` awaits nothing: the totals it hands to telemetry are its inside."""
    inner: Callable[..., None] = telemetry.annotate_run

    def annotate_run(**metadata: Any) -> None:
        inner(**metadata)
        if trap.node == "finish":
            trap.reach("finish.inside")

    telemetry.annotate_run = annotate_run


def _trapped_node(name: str, node: Asynchronous, trap: Trap) -> Asynchronous:
    async def trapped(*given: Any, **named: Any) -> Any:
        trap.node, trap.asked = name, 0
        trap.reach(f"{name}.before")
        running = node(*given, **named)
        # sanitize hands its work to a thread and nothing of ours to wrap: its inside is while it waits for that.
        update = await (_Stepped(running, trap) if name == "sanitize" else running)
        trap.reach(f"{name}.after")
        return update

    return trapped


class _Stepped:
    """Awaits `inner`; each time it is suspended a point is reached."""

    def __init__(self, inner: Awaitable[Any], trap: Trap) -> None:
        self._inner, self._trap = inner, trap

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._inner.__await__()
        step = partial(steps.send, None)
        while True:
            try:
                waits_for = step()
            except StopIteration as ended:
                return ended.value
            self._trap.reach("sanitize.inside")
            try:
                yield waits_for
                step = partial(steps.send, None)
            except BaseException as error:  # noqa: BLE001 - a cancellation belongs to what runs inside
                step = partial(steps.throw, error)
