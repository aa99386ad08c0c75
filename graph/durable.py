"""A compiled graph whose every run is durable, on every path: command line, worker and server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel._utils import is_xxh3_128_hexdigest
from langgraph.types import Command
from pydantic import ValidationError

from graph.context import Context, Run, Services
from graph.errors import AmbiguousAnswer, BadSetting
from graph.state import Input, State

SUPER_STEPS = 100_000
"""LangGraph's own recursion limit. Ours (`max_iterations`) is at most a tenth of it and stops first."""


class Engine(Protocol):
    """What a process opens once: the services nodes use, and who runs which thread."""

    @property
    def services(self) -> Services:
        """What nodes are handed."""
        ...

    def hold(self, thread_id: str) -> AbstractAsyncContextManager[None]:
        """Be the only one to run this thread; raises ThreadBusy when another does."""
        ...


OpenEngine = Callable[[], Awaitable[Engine]]


class DurableGraph(CompiledStateGraph[State, Context, Input, State]):
    """Adds to each run what no caller may leave out.

    `durability="sync"`: a finished step is stored before the next one starts, also when the caller (the
    server) asks for less. One process at a time runs a thread. A client's context is validated and kept
    with the thread. The services are handed to the nodes.
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
        answered = answered_by(input)
        run = Run(services=engine.services, explicit=explicit_fields(context), durable=bool(saver), answered=answered)
        if isinstance(input, dict):
            input = {**input, "settings": run.settings()}  # noqa: A001
        thread_id = configurable.get("thread_id")
        guard = engine.hold(thread_id) if saver and thread_id else nullcontext()
        stream: Any = super().astream  # Any: its overloads do not know that nodes receive a Run
        options |= {"context": run, "durability": "sync" if saver else None}
        async with guard:
            # An answer that names neither its interrupt nor its checkpoint can mean one question only.
            if answered is None and thread_id and not configurable.get("checkpoint_id"):
                times = await engine.services.approvals.times_asked(thread_id)
                if times > 1:
                    raise AmbiguousAnswer(thread_id, times)
            async for chunk in stream(input, {**(config or {}), "recursion_limit": SUPER_STEPS}, **options):
                yield chunk

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


def answered_by(given: Any) -> frozenset[str] | None:
    """Ids of the interrupts a run's input answers: none for a message, None for an answer that names none.

    LangGraph's own rule: a mapping whose keys all are interrupt ids is keyed by them, all else is one answer.
    """
    answer = given.resume if isinstance(given, Command) else None
    if answer is None:
        return frozenset()
    keyed = isinstance(answer, dict) and all(is_xxh3_128_hexdigest(key) for key in answer)
    return frozenset(answer) if keyed else None


def explicit_fields(context: Any) -> dict[str, Any]:
    """The fields a caller set itself, validated; a value equal to the default still counts.

    Raises:
        BadSetting: a field is unknown or out of bounds.
    """
    try:
        checked = context if isinstance(context, Context) else Context.model_validate(context or {})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadSetting(f"context field {field}: {first['msg']} (got {first['input']!r})") from None
    return checked.model_dump(include=checked.model_fields_set, mode="json")
