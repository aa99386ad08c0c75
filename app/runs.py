"""Start, resume, replay and inspect runs: what the command line does, without its printing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import uuid4

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import EmptyInputError
from langgraph.graph import END
from langgraph.types import StateSnapshot, StateUpdate

from app.history import history
from app.lifespan import Opened
from app.person import person
from app.report import next_nodes, outcome_of, report
from graph.client_input import explicit_fields
from graph.context import Context, LocalContext, Run
from graph.durable import DurableGraph
from graph.errors import BadSetting, NotFound, ThreadWaiting
from graph.plan_execute import plan_execute
from graph.react import react
from nodes.decisions import SENDER

LONGEST_THREAD_ID = 255

GRAPHS = ("react", "plan")
"""Their names, as threads keep them."""

DEFAULT_GRAPH = "react"
"""Of runs that name none, and of threads whose graph is not known."""

Progress = Callable[[str, Any], None]
"""Called with (node, its update) as each node ends; `__interrupt__` is a node here."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Runs in this process."""

    opened: Opened
    progress: Progress

    @cached_property
    def react(self) -> DurableGraph:
        """The react graph over this process's saver."""
        return react(self._engine, checkpointer=self.opened.saver)

    @cached_property
    def plan(self) -> DurableGraph:
        """The plan graph over this process's saver."""
        return plan_execute(self._engine, checkpointer=self.opened.saver)

    def graph(self, name: str) -> DurableGraph:
        """A graph by its name: compiled when it is first asked for, which takes tens of milliseconds.

        Raises:
            NotFound: there is none of that name.
        """
        if name not in GRAPHS:
            raise NotFound("graph", name, f"use {' or '.join(GRAPHS)}")
        return self.plan if name == "plan" else self.react

    async def _engine(self) -> Opened:
        return self.opened

    async def graph_of(self, thread_id: str) -> DurableGraph:
        """The graph that runs the thread."""
        row = await self.opened.runs.get(thread_id)
        return self.graph(row.graph if row and row.graph in GRAPHS else DEFAULT_GRAPH)

    async def start(
        self,
        task: str,
        *,
        thread_id: str | None,
        context: LocalContext,
        graph: str = DEFAULT_GRAPH,
        plan_only: bool = False,
    ) -> dict[str, Any]:
        """Run `task` on a new or an existing thread until it ends or waits; with `plan_only` until its plan is made.

        Raises:
            BadSetting: the model chain can't run, or a plan is wanted where one is not at its end.
            NotFound: no such graph.
            ThreadWaiting: the thread waits for a person.
        """
        chosen = self.graph(graph)
        thread_id = str(uuid4()) if thread_id is None else thread_id
        snapshot = await chosen.aget_state(_config(thread_id))
        if snapshot.interrupts:
            raise ThreadWaiting(thread_id)
        await self._check(snapshot, context)
        message = HumanMessage(task, id=uuid4().hex)
        if plan_only and (snapshot.values.get("calls") or snapshot.values.get("untrusted")):
            raise BadSetting(f"thread {thread_id} has calls to run first: go on with 'ballast resume {thread_id}'")
        if graph == "plan" and next_nodes(snapshot):
            await self._make_way(snapshot, plan_only=plan_only)
        return await self._stream(chosen, {"messages": [message]}, _config(thread_id), context, plan_only=plan_only)

    async def _make_way(self, snapshot: StateSnapshot, *, plan_only: bool) -> None:
        """A plan of which nothing was begun is given up for the one the new request makes: it was only to be seen.

        Raises:
            BadSetting: something of it was begun, and no more than a plan is wanted.
        """
        config, values = snapshot.config, snapshot.values
        thread_id = config["configurable"]["thread_id"]
        stored = await self.opened.saver.aget_tuple(config)
        effects = await self.opened.ledger.of_thread(thread_id)
        begun = (
            values.get("calls")
            or values.get("results")
            or (stored and stored.pending_writes)
            or len(effects) > sum(values.get("intents", {}).values())
        )
        if next_nodes(snapshot) == ["execute"] and not begun:
            await self.plan.abulk_update_state(_config(thread_id), [[StateUpdate(None, END)]])
        elif plan_only:
            raise BadSetting(f"the plan of thread {thread_id} has begun: go on with 'ballast resume {thread_id}'")

    async def resume(self, thread_id: str, *, context: Context) -> dict[str, Any]:
        """Go on with whatever was decided so far, or after a crash from the last checkpoint.

        No answer travels with the resume: the approval rows hold the decisions.
        """
        snapshot = await self.known(thread_id)
        if not next_nodes(snapshot):
            return await report(self.opened, snapshot)
        await self._check(snapshot, context)
        return await self._stream(await self.graph_of(thread_id), None, _config(thread_id), context)

    async def advance(self, thread_id: str) -> None:
        """Go on with the thread as a worker does: nothing is reported, and a thread that is gone stays gone.

        Raises:
            ThreadBusy: another process runs it.
        """
        graph = await self.graph_of(thread_id)
        with suppress(EmptyInputError):
            async for _ in graph.astream(None, _config(thread_id), context=Context(), stream_mode="updates"):
                pass

    async def _check(self, snapshot: StateSnapshot, context: Context) -> None:
        """Refuse what would only fail on the way: a chain that can't run, a workspace that is not there.

        Raises:
            BadSetting: see above.
        """
        run = Run(services=self.opened.services, explicit=explicit_fields(context))
        chosen = run.context(snapshot.values)
        self.opened.check_chain(chosen.model)
        if not await asyncio.to_thread(chosen.workspace.is_dir):
            raise BadSetting(f"the workspace {chosen.workspace} is no folder: set --workspace or BALLAST_WORKSPACE")

    async def replay(self, thread_id: str, checkpoint_id: str) -> dict[str, Any]:
        """Fork the thread at a checkpoint and run on from there; the old branch stays.

        Effects that are done are not done again: the ledger returns their results.
        """
        return await self._stream(await self.graph_of(thread_id), None, _config(thread_id, checkpoint_id), Context())

    async def known(self, thread_id: str) -> StateSnapshot:
        """The newest state of a thread.

        Raises:
            NotFound: no such thread.
        """
        config = _config(thread_id)
        snapshot = await (await self.graph_of(thread_id)).aget_state(config)
        if snapshot.created_at is None:
            raise NotFound("thread", thread_id, "see 'ballast threads'")
        return snapshot

    async def find_checkpoint(self, thread_id: str, *, node: str | None, checkpoint_id: str | None) -> StateSnapshot:
        """The named checkpoint, or the newest one about to run `node`.

        Raises:
            NotFound: no such thread, node or checkpoint.
        """
        await self.known(thread_id)
        graph = await self.graph_of(thread_id)
        names = [name for name in graph.nodes if not name.startswith("__")]
        if node and node not in names:
            raise NotFound("node", node, f"the graph has {', '.join(names)}")
        for row in await self.history(thread_id):
            if checkpoint_id == row["checkpoint_id"] or (node and node in row["next"]):
                return await graph.aget_state(_config(thread_id, row["checkpoint_id"]))
        if node:
            raise NotFound("node", node, f"thread {thread_id} never reached it")
        raise NotFound("checkpoint", checkpoint_id or "", f"see 'ballast history {thread_id}'")

    async def history(self, thread_id: str) -> list[dict[str, Any]]:
        """A thread's checkpoints, newest first, as `ballast history` prints them."""
        return await history(await self.graph_of(thread_id), self.opened.saver, thread_id)

    async def snapshots(self, thread_id: str) -> AsyncIterator[StateSnapshot]:
        """States of a thread, newest first; each is rebuilt from its ancestors, so ask for one where you can."""
        graph = await self.graph_of(thread_id)
        async for snapshot in graph.aget_state_history(_config(thread_id)):
            yield snapshot

    async def _stream(
        self, graph: DurableGraph, update: Any, config: RunnableConfig, context: Context, *, plan_only: bool = False
    ) -> dict[str, Any]:
        thread_id = config["configurable"]["thread_id"]
        stopped = False
        try:
            await self._shown(graph, update, config, context, until=["plan"] if plan_only else [])
            if plan_only and (await graph.aget_state(_config(thread_id))).values.get("outcome"):
                await self._shown(graph, None, config, context)  # planning ended the run: that comes to its end
            elif plan_only:
                await self.opened.runs.cancelled(thread_id)  # as below: only a person has it run
        except asyncio.CancelledError:
            stopped = True  # ctrl-C: what is stored stays, the caller is told how to go on
            await self.opened.runs.cancelled(thread_id)  # no worker goes on with what a person stopped
        snapshot = await graph.aget_state(_config(thread_id))
        result = await report(self.opened, snapshot)
        if stopped and outcome_of(snapshot) is None:
            result["outcome"] = "cancelled"
        return result

    async def _shown(
        self, graph: DurableGraph, update: Any, config: RunnableConfig, context: Context, *, until: Sequence[str] = ()
    ) -> None:
        """Run on to the end, to a question, or to behind one of the nodes `until`; each step is told."""
        steps = graph.astream(update, config, context=context, stream_mode="updates", interrupt_after=list(until))
        async for chunk in steps:
            for node, change in chunk.items():
                self.progress(node, change)


def _config(thread_id: str, checkpoint_id: str | None = None) -> RunnableConfig:
    if not 0 < len(thread_id) <= LONGEST_THREAD_ID or not thread_id.isprintable():
        raise BadSetting(f"{thread_id!r:.80} is no thread id: use 1 to {LONGEST_THREAD_ID} printable characters")
    configurable: dict[str, Any] = {"thread_id": thread_id, "checkpoint_ns": "", SENDER: person()}
    if checkpoint_id:
        configurable["checkpoint_id"] = checkpoint_id
    return {"configurable": configurable}
