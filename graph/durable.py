"""A compiled graph whose every run is durable, on every path: command line, worker and server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_RESUME_MAP, CONFIG_KEY_RESUMING, CONFIG_KEY_SCRATCHPAD
from langgraph.graph import END, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateUpdate

from checkpoints.claims import CLAIM_KEY
from graph import client_input
from graph.approvals import Approvals
from graph.client_input import Answer
from graph.context import EXPLICIT, Context, Run, Services, limits_by_tool
from graph.errors import AlreadyDecided, BadSetting, Unanswerable
from graph.records import RunRecords
from graph.state import Input, State
from graph.tools import AT_ONCE, Tools
from nodes.decisions import SENDER, sender
from nodes.finish import not_run

SUPER_STEPS = 100_000
"""LangGraph's own recursion limit. Ours (`max_iterations`) is at most a tenth of it and stops first."""


class Engine(Protocol):
    """What a process opens once: the services nodes use, and who runs which thread."""

    @property
    def services(self) -> Services:
        """What nodes are handed."""
        ...

    def hold(self, thread_id: str) -> AbstractAsyncContextManager[int]:
        """Be the only one to run this thread; raises ThreadBusy when another does.

        Gives the claim: once another process has taken the thread over, no write under it succeeds.
        """
        ...


UNCLEAR = (
    "this thread was asked {times} times since its last request, and the answer does not say which it means: "
    "resume by interrupt id, or from the checkpoint you were shown"
)

TASKS = "execute"
"""The node whose tasks are stored one by one."""

TAKEN_EARLIER = "an answer of someone who was identified is taken where it arrives (app/answers.py), not by the run"
"""Only there is it asked whether they may give it: what comes past it is no answer."""

ANSWERING = {CONFIG_KEY_RESUME_MAP, CONFIG_KEY_RESUMING, CONFIG_KEY_SCRATCHPAD}
"""Where LangGraph hands answers down to its own subgraphs. What a client puts there would be an answer that nobody has
looked at."""

OpenEngine = Callable[[], Awaitable[Engine]]


class DurableGraph(CompiledStateGraph[State, Context, Input, State]):
    """Adds to each run what no caller may leave out.

    `durability="sync"`: a finished step is stored before the next one starts, also when the caller (the
    server) asks for less. One process at a time writes to a thread, by a run or an edit. A client's context
    is validated and kept with the thread. The services are handed to the nodes.
    """

    def __init__(self, *, open_engine: OpenEngine, **compiled: Any) -> None:
        super().__init__(**compiled)
        self.open_engine = open_engine

    async def astream(
        self,
        input: Any,  # noqa: A002 - Pregel's name for it
        config: Any = None,
        *,
        context: Any = None,
        durability: Any = None,  # noqa: ARG002 - replaced on purpose
        **options: Any,
    ) -> AsyncIterator[Any]:
        """See `Pregel.astream`."""
        engine = await self.open_engine()
        configurable = (config or {}).get("configurable", {})
        saver = configurable.get("__pregel_checkpointer") or self.checkpointer
        answer = client_input.answer_in(input)
        run = Run(
            services=engine.services,
            explicit=client_input.explicit_fields(context),
            durable=bool(saver),
            answers=answer.by_id,
            bare_answer=answer.bare,
            at_once=min(AT_ONCE, (config or {}).get("max_concurrency") or AT_ONCE),
        )
        check_tool_limits(run.explicit.get("tool_limits", run.services.defaults.tool_limits), run.services.tools)
        if answer != Answer() and configurable.get(SENDER):
            raise Unanswerable(TAKEN_EARLIER)
        input = client_input.checked(input, run.settings())  # noqa: A001
        thread_id = configurable.get("thread_id")
        stream: Any = super().astream  # Any: its overloads do not know that nodes receive a Run
        async with _held(engine, config, thread_id=thread_id if saver else None) as (claim, held):
            if isinstance(input, Command) and saver:
                await self._check_begun(config)
            if client_input.ends(input):
                await self._update(held, [[StateUpdate(None, END)]])
                return
            if saver and thread_id:
                if client_input.task_in(input) is None:
                    await self._check_own(engine.services.records, str(thread_id))
                await engine.services.records.begun(
                    str(thread_id), graph=self.name, sender=sender(config), task=client_input.task_in(input)
                )
            unclear = ""
            if thread_id and answer != Answer():
                unclear = await _check_in_time(
                    engine.services.approvals, answer, thread_id, configurable.get("checkpoint_id")
                )
            options |= {
                "context": replace(run, unclear=unclear, claim=claim),
                "durability": "sync" if saver else None,
            }
            held["configurable"][EXPLICIT] = run.explicit
            within: Any = {**held, "recursion_limit": SUPER_STEPS}
            if saver and thread_id and client_input.task_in(input) is not None and await self._has_tasks(held):
                async for chunk in stream(None, within, **{**options, "interrupt_after": [TASKS]}):
                    yield chunk
            async for chunk in stream(input, within, **options):
                yield chunk

    async def abulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """See `Pregel.abulk_update_state`: how Studio and the SDK edit a state, and chat pages end a run.

        Raises:
            ThreadBusy: the thread is running now.
        """
        engine = await self.open_engine()
        async with _held(engine, config, thread_id=config.get("configurable", {}).get("thread_id")) as (_, held):
            return await self._update(held, supersteps)

    async def _update(self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]) -> RunnableConfig:
        """`abulk_update_state` of a thread that is held."""
        checked = [[client_input.checked_update(update) for update in superstep] for superstep in supersteps]
        if checked and len(checked[0]) == 1 and checked[0][0].as_node == END:
            checked[0] = [await self._ended(config)]
        return await super().abulk_update_state(config, checked)

    async def _has_tasks(self, config: RunnableConfig) -> bool:
        """Whether the thread was cut off in the tasks of a plan.

        What they gave is stored beside their checkpoint, which a message would leave behind: those that read would
        read again, and an effect made of other results would be another one. So they end first.
        """
        if TASKS not in self.nodes or config["configurable"].get("checkpoint_id"):
            return False
        return TASKS in [task.name for task in (await self.aget_state(config)).tasks]

    async def _check_own(self, records: RunRecords, thread_id: str) -> None:
        """Refuse to go on with what another graph began: its nodes are not here, so nothing would run."""
        known = await records.graph(thread_id)
        if known not in (None, self.name):
            raise BadSetting(f"thread {thread_id} is run by the graph {known}: go on with it by that one")

    async def _check_begun(self, config: Any) -> None:
        if (await self.aget_state(config)).created_at is None:
            raise BadSetting(f"nothing has run on this thread yet: send {client_input.EXAMPLE}")

    async def _ended(self, config: RunnableConfig) -> StateUpdate:
        """A run that a person ends from outside is a cancelled run: nothing stays open behind it."""
        values = (await self.aget_state(config)).values
        left = values.get("calls", [])
        if values.get("outcome") and not left:
            return StateUpdate(None, END)
        services, thread_id = (await self.open_engine()).services, config["configurable"]["thread_id"]
        if left:
            await services.approvals.close(thread_id)
        await services.records.cancelled(thread_id)
        why = "a person ended the run"
        update = {"calls": [], "untrusted": [], "outcome": "cancelled", "reason": why, "answer": f"Stopped: {why}."}
        # A thread that lies still with calls that may run was cut off in the step that runs them.
        told = [not_run(call, why, broken=True) for call in left]
        return StateUpdate({**update, "messages": told}, as_node="finish")

    def get_input_jsonschema(self, config: Any = None) -> dict[str, Any]:
        """The input a client sends; `settings` is filled in here, whatever was sent."""
        schema = super().get_input_jsonschema(config)
        schema.get("properties", {}).pop("settings", None)
        return schema


def durable(
    builder: StateGraph[State, Context, Input, State], open_engine: OpenEngine, **compile_with: Any
) -> DurableGraph:
    """Compile `builder` to a DurableGraph."""
    compiled = builder.compile(**compile_with)
    return DurableGraph(open_engine=open_engine, **compiled.__dict__)


@asynccontextmanager
async def _held(
    engine: Engine, config: Any, *, thread_id: str | None
) -> AsyncIterator[tuple[int | None, RunnableConfig]]:
    """Hold the thread, if there is one: the claim, and the config under which the saver checks it.

    Whatever a caller put in the claim's place is replaced.
    """
    if thread_id is None:
        yield None, _claimed(config, None)
        return
    async with engine.hold(str(thread_id)) as claim:
        yield claim, _claimed(config, claim)


def _claimed(config: Any, claim: int | None) -> RunnableConfig:
    given: RunnableConfig = dict(config or {})  # type: ignore[assignment]  # a caller's, not checked
    kept = {name: value for name, value in given.get("configurable", {}).items() if name not in {*ANSWERING, EXPLICIT}}
    given["configurable"] = {**kept, CLAIM_KEY: claim}
    given.pop("max_concurrency", None)  # it bounds calls (`Run.at_once`): a plan's tasks wait for each other
    return given


async def _check_in_time(approvals: Approvals, answer: Answer, thread_id: str, checkpoint_id: str | None) -> str:
    """Why the answer can't be taken, "" when it can: it could mean another question than the open one.

    Raises:
        AlreadyDecided: all it could decide was decided before, and a run has gone on with that.
    """
    by_id = list(answer.by_id) or None
    meant = await approvals.asked_by(thread_id, interrupt_ids=by_id, checkpoint_id=checkpoint_id)
    if meant and all(row.applied_at for row in meant):
        raise AlreadyDecided(meant[0])
    if by_id or checkpoint_id:
        return ""
    times = await approvals.times_asked(thread_id)
    return "" if times <= 1 else UNCLEAR.format(times=times)


def check_tool_limits(text: str, tools: Tools) -> None:
    """Refuse a limit on a tool that is not there: a misspelled one would hold nothing.

    Raises:
        BadSetting: see above.
    """
    limits = limits_by_tool(text)
    known = {tool.name for tool in tools.offered()} if limits else set()
    if unknown := sorted(set(limits) - known):
        raise BadSetting(f"tool_limits: there is no tool {', '.join(unknown)}: see 'ballast tools'")
