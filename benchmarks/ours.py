"""Ballast's react graph with its own saver, ledger, approvals and limits, all switched on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import StructuredTool

from benchmarks.peer import Run
from benchmarks.subject import LookupModel, lookup
from checkpoints.approvals import PostgresApprovals
from checkpoints.database import Pool, open_pool
from checkpoints.ledger import Ledger
from checkpoints.locks import ThreadLocks
from checkpoints.migrate import migrate
from checkpoints.results import PostgresResults
from checkpoints.runs import PostgresRuns
from checkpoints.saver import PostgresSaver
from checkpoints.serde import serializer
from checkpoints.spending import PostgresSpending
from graph.budget import Budget, Spending, Spent
from graph.context import Context, Services
from graph.durable import DurableGraph
from graph.models import Question, Reply
from graph.react import react
from services import settings
from services.clock import SystemClock
from services.endpoints import endpoints_of
from tools.base import MARKS, Marks
from tools.execute import Executor
from tools.registry import ToolBox

# Limits out of the way, and no folding: the peer folds nothing either.
CONTEXT = Context(
    window_tokens=100_000_000,
    max_iterations=10_000,
    max_tool_calls=10_000,
    max_tokens=100_000_000,
    max_seconds=600,
    max_usd=10_000,
)


EXTRACT = '{"about": "a letter", "facts": [{"name": "sum", "value": "40 EUR"}]}'


@dataclass(frozen=True)
class OneModel:
    """The same chat model, called the same way, behind `graph.models.Models`."""

    model: LookupModel

    async def complete(self, chain: str, question: Question, *, budget: Budget, first: int = 0) -> Reply:  # noqa: ARG002 - one model, no chain
        """See `graph.models.Models.complete`. Extracts are there at once and cost nothing: what is measured is ours."""
        if question.role == "extractor":
            return Reply(message=AIMessage(EXTRACT), model="lookup")
        reservation = await budget.reserve(Spent(prompt_tokens=12, completion_tokens=4_096, cost_usd=0.01))
        message = await self.model.ainvoke(list(question.messages))
        assert isinstance(message, AIMessage)  # noqa: S101 - for the type
        reservation.settle(Spent(prompt_tokens=10, completion_tokens=5, cost_usd=0.0001))
        return Reply(message=message, model="lookup")

    def usd(self, chain: str, prompt_tokens: int, completion_tokens: int) -> float:  # noqa: ARG002 - it costs nothing
        """See `graph.models.Models.usd`."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Engine:
    """`graph.durable.Engine`."""

    services: Services
    locks: ThreadLocks

    def hold(self, thread_id: str) -> AbstractAsyncContextManager[int]:
        """See `graph.durable.Engine.hold`."""
        return self.locks.hold(thread_id)


def accounts(pool: Pool) -> Spending:
    """All limits, none of which is reached."""
    return PostgresSpending(pool, usd_a_day=1e9, tool_calls_a_day=1_000_000_000)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a measurement may change of Ballast."""

    spending: Callable[[Pool], Spending] = accounts
    tool: Callable[..., Awaitable[str]] = lookup
    marks: Marks = Marks(risk="low", untrusted_output=False, idempotent=True)  # noqa: RUF009 - frozen


@asynccontextmanager
async def open_ours(url: str, connections: int, parts: Parts | None = None) -> AsyncIterator[Run]:
    """A runner of Ballast over a pool of its own."""
    chosen = parts or Parts()
    async with open_pool(url, max_size=connections) as pool, ThreadLocks.open(url) as locks:
        await migrate(pool)
        endpoints = endpoints_of(settings.load())
        saver, results = PostgresSaver(pool, serde=serializer(None)), PostgresResults(pool, serializer(None))
        marked = StructuredTool.from_function(coroutine=chosen.tool, name="lookup", metadata={MARKS: chosen.marks})
        executor = Executor(ToolBox([marked]), Ledger(pool), endpoints)

        @cache
        def graph(iterations: int) -> DurableGraph:
            """Compiled once, as a service would."""
            services = Services(
                models=OneModel(LookupModel(iterations=iterations)),
                tools=executor,
                approvals=PostgresApprovals(pool),
                spending=chosen.spending(pool),
                records=PostgresRuns(pool),
                clock=SystemClock(),
                writes=saver,
                results=results,
            )

            async def engine() -> Engine:
                return Engine(services=services, locks=locks)

            return react(engine, checkpointer=saver)

        async def run(thread: str, iterations: int) -> None:
            config: Any = {"configurable": {"thread_id": thread}}
            await graph(iterations).ainvoke({"messages": [HumanMessage("go")]}, config, context=CONTEXT)

        yield run
