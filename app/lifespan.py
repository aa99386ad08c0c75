"""Everything a process opens once, in order, and closes again: database, saver, services, tracing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool
from psycopg_pool import AsyncConnectionPool

from checkpoints import embedded
from checkpoints.approvals import PostgresApprovals
from checkpoints.audit import PostgresAudit
from checkpoints.database import open_pool
from checkpoints.jobs import Notices
from checkpoints.ledger import Ledger
from checkpoints.listings import PostgresListings
from checkpoints.locks import ThreadLocks
from checkpoints.migrate import migrate
from checkpoints.owners import ThreadOwners
from checkpoints.results import PostgresResults
from checkpoints.runs import PostgresRuns
from checkpoints.saver import PostgresSaver
from checkpoints.serde import serializer
from checkpoints.spending import PostgresSpending
from checkpoints.tokens import PostgresTokens
from graph.context import Services
from graph.errors import BadSetting
from graph.guards import Guards, Unguarded
from services import settings as environment
from services.clock import SystemClock
from services.endpoints import Endpoints, open_endpoints
from services.models import ModelChain
from services.rates import RateLimit
from services.settings import Settings
from services.telemetry import open_telemetry
from tools import office
from tools.execute import Executor
from tools.mcp import McpServers, open_servers
from tools.registry import ToolBox

if TYPE_CHECKING:
    from services.oidc import Issuer

RATED = ("openai:", "tool:")
"""How names of endpoints begin. What a script or the offline model plays is asked of nobody."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What is open. Satisfies `graph.durable.Engine`."""

    settings: Settings
    pool: AsyncConnectionPool[Any]
    saver: PostgresSaver
    ledger: Ledger
    approvals: PostgresApprovals
    runs: PostgresRuns
    audit: PostgresAudit
    owners: ThreadOwners
    tokens: PostgresTokens
    issuer: Issuer | None
    """Whose JSON web tokens are taken beside our own."""
    box: ToolBox
    mcp: McpServers
    models: ModelChain
    locks: ThreadLocks
    services: Services

    def hold(self, thread_id: str) -> AbstractAsyncContextManager[int]:
        """Be the only one to run this thread; gives the claim its writes are checked against."""
        return self.locks.hold(thread_id)

    def check_chain(self, chain: str) -> None:
        """Refuse a model chain that can't run, before a run starts on it."""
        self.models.check(chain)


@asynccontextmanager
async def opened(settings: Settings | None = None) -> AsyncIterator[Opened]:
    """Open everything; the embedded Postgres starts when no DATABASE_URL is set.

    Raises:
        BadSetting: a setting does not hold; a rate for a tool that is not there is one, a policy that loosens another.
        DatabaseUnavailable: no Postgres, or a schema this code can't use.
    """
    chosen = settings
    if chosen is None:
        chosen = await asyncio.to_thread(environment.load)
    box = None if chosen.mcp.servers else _box(chosen)
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(open_telemetry())
        url = chosen.database_url
        if url is None:
            url = await asyncio.to_thread(embedded.start, chosen.home)
        serde = serializer(chosen.encryption_key)
        pool = await stack.enter_async_context(open_pool(url))
        await migrate(pool)
        mcp = await stack.enter_async_context(open_servers(chosen.mcp, PostgresListings(pool)))
        box = box or _box(chosen, mcp.tools())
        ledger, runs = Ledger(pool), PostgresRuns(pool)
        approvals = PostgresApprovals(pool, notices=_notices(chosen))
        declared = {f"tool:{name}": RateLimit(calls=n, seconds=s) for name, (n, s) in box.rates().items()}
        endpoints = await stack.enter_async_context(open_endpoints(chosen, rates=declared))
        models = ModelChain(chosen, endpoints)
        stack.push_async_callback(models.aclose)
        _check_extractor(chosen.extractor_model, models)
        guards = await _guards(chosen, endpoints, stack)
        locks = await stack.enter_async_context(ThreadLocks.open(url))
        saver, results = PostgresSaver(pool, serde=serde), PostgresResults(pool, serde)
        executor = Executor(box, ledger, endpoints, smtp_url=chosen.smtp_url, results=results)
        services = Services(
            models=models,
            tools=executor,
            approvals=approvals,
            spending=PostgresSpending(
                pool,
                usd_a_day=chosen.tenant_usd_per_day,
                tool_calls_a_day=chosen.tenant_tool_calls_per_day,
            ),
            records=runs,
            clock=SystemClock(),
            telemetry=telemetry,
            writes=saver,
            defaults=chosen,
            results=results,
            guards=guards,
            extractor=chosen.extractor_model,
        )
        yield Opened(
            settings=chosen,
            pool=pool,
            saver=saver,
            ledger=ledger,
            approvals=approvals,
            runs=runs,
            audit=PostgresAudit(pool),
            owners=ThreadOwners(pool),
            tokens=PostgresTokens(pool),
            issuer=_issuer(chosen),
            box=box,
            mcp=mcp,
            models=models,
            locks=locks,
            services=services,
        )


def _box(settings: Settings, more: Sequence[BaseTool] = ()) -> ToolBox:
    box = office.toolbox(settings.policy, more, settings.untrusted)
    _check_rates(settings.rates, box)
    return box


async def _guards(settings: Settings, endpoints: Endpoints, stack: AsyncExitStack) -> Guards:
    if settings.guards is None:
        return Unguarded()
    from services.guards.file import load  # whoever has no guards does not wait for them

    chain = await asyncio.to_thread(load, settings, endpoints)
    stack.push_async_callback(chain.aclose)
    return chain


def _check_extractor(chain: str | None, models: ModelChain) -> None:
    """Refuse a chain that can't run before anything is read."""
    try:
        if chain is not None:
            models.check(chain)
    except BadSetting as wrong:
        raise BadSetting(f"BALLAST_EXTRACTOR_MODEL: {wrong}") from None


def _issuer(settings: Settings) -> Issuer | None:
    if settings.issuer is None:
        return None
    from services.oidc import Issuer  # its cryptography is loaded only where it is used

    return Issuer(settings.issuer)


def _notices(settings: Settings) -> Notices:
    return Notices(webhook=settings.notify_webhook is not None, mail=settings.notify_mail)


def _check_rates(names: Iterable[str], box: ToolBox) -> None:
    """Refuse a rate of what is never asked under that name: a misspelled one would hold nothing."""
    names = list(names)
    if odd := sorted(name for name in names if not name.startswith(RATED)):
        raise BadSetting(
            f"BALLAST_RATES: {odd[0]!r} is no endpoint: write openai:NAME for a model, tool:NAME for a tool"
        )
    tools = (name.removeprefix("tool:") for name in names if name.startswith("tool:"))
    if unknown := sorted(tool for tool in tools if box.get(tool) is None):
        raise BadSetting(f"BALLAST_RATES: there is no tool {', '.join(unknown)}: see 'ballast tools'")
