"""Tools of MCP servers: what a person approved of a server is offered, for as long as it lists nothing else.

Offered is the listing as it was approved, from our own database: no server is asked before one of its tools is
called, and no text of it reaches a model that nobody has seen. Before each call the server lists its tools again, on
the same connection; when anything differs it is cut off, in all processes, until a person approves it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Never

from langchain_core.tools import BaseTool

from checkpoints.listings import Approved, PostgresListings
from graph.errors import BadSetting, NotFound, ToolFailed
from graph.state import Risk
from services.mcp_file import Server
from services.mcp_file import Servers as Configured
from tools.arguments import Misfit
from tools.base import ARGUMENTS, MARKS
from tools.json_schema import JsonArguments, Untakable, written_out
from tools.mcp_link import Link, ServerDown, ServerLost, ServerSlow
from tools.mcp_listing import BadListing, Listed, Listing, listing_of, marks_of_listed, offered_name, parsed

if TYPE_CHECKING:
    from mcp import ClientSession

NEEDS = ("mcp", "langchain_mcp_adapters", "jsonschema_rs")

Status = Literal["approved", "not approved", "changed", "down"]


class CutOff(ToolFailed):
    """The MCP server lists other tools than a person approved, or none were approved: it is not asked."""


class McpTool(BaseTool):
    """A tool of a server. Its arguments were checked before, and are checked again: it may be newer than the call."""

    call: Callable[[dict[str, Any]], Awaitable[str]]

    async def _arun(self, /, **arguments: Any) -> str:
        return await self.call(arguments)

    def _run(self, /, **_arguments: Any) -> Never:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ToolSeen:
    """A tool as a server lists it, and what it is or would be offered as."""

    name: str
    offered_as: str
    risk: Risk
    description: str
    left_out: str | None
    """Why it is not offered though its server is approved."""


@dataclass(frozen=True, kw_only=True)
class ServerSeen:
    """What a server lists, held against what was approved of it."""

    name: str
    status: Status
    told: str
    """One line: what is the matter, and what to do."""
    changes: tuple[str, ...] = ()
    digest: str | None = None
    """Of what it lists now."""
    tools: tuple[ToolSeen, ...] = ()


@dataclass
class _Known:
    """One configured server, as this process knows it."""

    settings: Server
    link: Link
    approved: Approved | None
    pinned: Listing = field(default_factory=lambda: Listing(tools={}))
    gone: str | None = None


class McpServers:
    """The configured servers. `tools/mcp.py` says how they are held to what was approved."""

    def __init__(self, configured: Configured, store: PostgresListings, approved: Mapping[str, Approved]) -> None:
        self._store = store
        self._known = {
            name: _Known(settings=server, link=Link(name, server), approved=approved.get(name))
            for name, server in configured.servers.items()
        }
        for name, known in self._known.items():
            if known.approved:
                known.pinned = parsed(known.approved.tools)
            known.gone = _why_not(name, known.approved, known.approved)

    def tools(self) -> list[BaseTool]:
        """What is offered of all servers, those that are cut off included: they say so themselves."""
        made = []
        for name, known in self._known.items():
            for listed, seen in zip(known.pinned.tools.values(), _seen(name, known, known.pinned), strict=True):
                if seen.left_out is None:
                    made.append(self._tool(name, known, listed, seen))
        return made

    def withheld(self) -> list[str]:
        """A line for each server nothing is offered of, as far as this process knows."""
        return [known.gone for known in self._known.values() if known.gone]

    async def examine(self) -> list[ServerSeen]:
        """Ask every server what it lists now; one that lists anything but what was approved is cut off."""
        return await asyncio.gather(*(self._examined(name, known) for name, known in self._known.items()))

    async def approve(self, name: str, *, by: str, digest: str | None = None) -> ServerSeen:
        """Hold the server to what it lists now; with `digest` only if it is still that.

        Raises:
            NotFound: no such server.
            BadSetting: it lists something else than `digest` says.
            ServerDown, BadListing: it can't be approved.
        """
        known = self._known.get(name)
        if known is None:
            raise NotFound("MCP server", name, f"BALLAST_MCP lists {', '.join(self._known) or 'none'}")
        listing = await self._listing(name, known)
        if digest and not listing.digest.startswith(digest.lower()):
            raise BadSetting(
                f"MCP server {name} lists something else by now: see 'ballast mcp list', then approve that"
            )
        await self._store.approve(name, digest=listing.digest, tools=listing.text, by=by)
        told = f"approved: {len(listing.tools)} tools; processes that run offer them from their next start"
        return ServerSeen(
            name=name, status="approved", told=told, digest=listing.digest, tools=tuple(_seen(name, known, listing))
        )

    async def aclose(self) -> None:
        """End all connections."""
        await asyncio.gather(*(known.link.aclose() for known in self._known.values()))

    def _tool(self, server: str, known: _Known, listed: Listed, seen: ToolSeen) -> BaseTool:
        schema = written_out(listed.schema)
        taken = JsonArguments(schema)
        marks = marks_of_listed(server, known.settings, listed.annotations, gone=lambda: known.gone)

        async def call(arguments: dict[str, Any]) -> str:
            try:
                fitted = taken.fitted(arguments)
            except Misfit as misfit:
                raise ToolFailed(f"the arguments do not fit {seen.offered_as}: {misfit}") from None
            return await self._call(server, known, listed.name, fitted)

        return McpTool(
            name=seen.offered_as,
            description=listed.told,
            args_schema=schema,
            call=call,
            metadata={MARKS: marks, ARGUMENTS: taken},
        )

    async def _call(self, server: str, known: _Known, tool: str, arguments: dict[str, Any]) -> str:
        approved = await self._store.of(server)
        known.gone = _why_not(server, known.approved, approved)
        self._refuse_gone(known)
        sent = False

        async def ask(session: ClientSession) -> str:
            from tools.mcp_asking import call_tool  # noqa: PLC0415 - loaded with the connection

            nonlocal sent
            await self._hold(server, known, await _listed_in_time(server, known, session))
            sent = True
            try:
                async with asyncio.timeout(known.settings.timeout_s):
                    return await call_tool(session, tool, arguments)
            except TimeoutError:
                told = f"MCP server {server} did not answer within {known.settings.timeout_s:g} s"
                raise ServerSlow(told) from None

        try:
            return await known.link.ask(ask)
        except ServerLost as lost:
            if sent:
                raise
            raise ServerDown(str(lost)) from None

    async def _hold(self, server: str, known: _Known, listing: Listing) -> None:
        if listing.digest != known.pinned.digest:
            await self._store.cut_off(server, known.pinned.digest)
            known.gone = _differs(server)
        self._refuse_gone(known)

    def _refuse_gone(self, known: _Known) -> None:
        if known.gone:
            raise CutOff(known.gone)

    async def _listing(self, name: str, known: _Known) -> Listing:
        try:
            return await known.link.ask(lambda session: _listed_in_time(name, known, session))
        except ServerLost as lost:
            raise ServerDown(str(lost)) from None

    async def _examined(self, name: str, known: _Known) -> ServerSeen:
        approved = await self._store.of(name)
        known.gone = _why_not(name, known.approved, approved)
        try:
            listing = await self._listing(name, known)
        except (ServerDown, BadListing) as error:
            return ServerSeen(name=name, status="down", told=str(error))
        seen = ServerSeen(
            name=name, status="changed", told="", digest=listing.digest, tools=tuple(_seen(name, known, listing))
        )
        if approved is None:
            return replace(seen, status="not approved", told=_why_not(name, None, None) or "")
        if listing.digest != approved.digest:
            await self._store.cut_off(name, approved.digest)
            known.gone = _differs(name)
            changes = tuple(parsed(approved.tools).changes_to(listing))
            return replace(seen, told=_differs(name), changes=changes)
        if approved.cut_off_at:
            return replace(seen, told=f"{_differs(name)}; by now it lists what was approved")
        told = f"{len(listing.tools)} tools, approved by {approved.approved_by} on {approved.approved_at:%Y-%m-%d}"
        return replace(seen, status="approved", told=told)


def _why_not(server: str, held: Approved | None, now: Approved | None) -> str | None:
    """Why nothing of the server is offered: `held` is what this process began with, `now` what holds."""
    if now is None:
        return f"MCP server {server} is not approved: see 'ballast mcp list', then 'ballast mcp approve {server}'"
    if held is None or held.digest != now.digest:
        return f"MCP server {server} was approved anew: this process still has what it listed before; start it again"
    return _differs(server) if now.cut_off_at else None


def _differs(server: str) -> str:
    return (
        f"MCP server {server} is cut off: it lists other tools than were approved; see 'ballast mcp list', "
        f"then 'ballast mcp approve {server}'"
    )


def _seen(server: str, known: _Known, listing: Listing) -> Sequence[ToolSeen]:
    taken: set[str] = set()
    seen = []
    for one in listing.tools.values():
        name, why = offered_name(server, one.name), None
        try:
            JsonArguments(written_out(one.schema))
        except Untakable as error:
            why = str(error)
        if name in taken:
            why = "another of its tools has that name"
        taken.add(name)
        risk = marks_of_listed(server, known.settings, one.annotations).risk
        seen.append(ToolSeen(name=one.name, offered_as=name, risk=risk, description=one.description, left_out=why))
    return seen


async def _listed_in_time(name: str, known: _Known, session: ClientSession) -> Listing:
    from tools.mcp_asking import listed  # noqa: PLC0415 - loaded with the connection

    seconds = known.settings.connect_s
    try:
        async with asyncio.timeout(seconds):
            return listing_of(await listed(session))
    except TimeoutError:
        await known.link.give_up("it did not list its tools")
        raise ServerDown(f"MCP server {name} did not list its tools within {seconds:g} s") from None
    except BadListing as error:
        raise BadListing(f"MCP server {name} {error}") from None


@asynccontextmanager
async def open_servers(configured: Configured, store: PostgresListings) -> AsyncIterator[McpServers]:
    """The servers, none of them asked yet; at the end no connection and no process of theirs is left.

    Raises:
        BadSetting: the extra is not installed.
    """
    if configured.servers and any(find_spec(name) is None for name in NEEDS):
        raise BadSetting("BALLAST_MCP needs the extra mcp: pip install 'ballast[mcp]'")
    servers = McpServers(configured, store, await store.all() if configured.servers else {})
    try:
        yield servers
    finally:
        await servers.aclose()
