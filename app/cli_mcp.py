"""`ballast mcp ...`: what MCP servers list, and which listing they are held to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import loop
from app.session import AsJson, emit
from graph.errors import BadSetting

if TYPE_CHECKING:
    from tools.mcp import McpServers, ServerSeen

mcp_app = typer.Typer(help="MCP servers: what they list, and what a person approved of it.")


@mcp_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Ask each server of BALLAST_MCP what it lists, and hold it against what was approved.

    One that lists anything else is cut off. A listing's digest, given to approve, says which one you have looked at.
    """

    async def do(servers: McpServers) -> Any:
        return [asdict(one) for one in await servers.examine()]

    emit(_with_servers(do), as_json, _shown)


@mcp_app.command()
def approve(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The server, as BALLAST_MCP names it.")],
    listing: Annotated[
        str | None, typer.Option(help="Only if it still lists what has this digest: see 'ballast mcp list'.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Approve the tools that the server NAME lists now, as they are described now."""
    from app.person import person

    async def do(servers: McpServers) -> Any:
        return asdict(await servers.approve(name, by=person(), digest=listing))

    emit(_with_servers(do), as_json, lambda row: _shown([row]))


def _with_servers(do: Callable[[McpServers], Awaitable[Any]]) -> Any:
    async def session() -> Any:
        async with _servers() as servers:
            return await do(servers)

    return loop.run(session())


@asynccontextmanager
async def _servers() -> AsyncIterator[McpServers]:
    """Without the tool box: a policy may name tools that are not approved yet."""
    import asyncio

    from checkpoints import embedded
    from checkpoints.database import open_pool
    from checkpoints.listings import PostgresListings
    from checkpoints.migrate import migrate
    from services import settings as environment
    from tools.mcp import open_servers

    settings = environment.load()
    if not settings.mcp.servers:
        raise BadSetting("no MCP server is configured: set BALLAST_MCP to a YAML file that lists some")
    url = settings.database_url
    if url is None:
        url = await asyncio.to_thread(embedded.start, settings.home)
    async with open_pool(url) as pool:
        await migrate(pool)
        async with open_servers(settings.mcp, PostgresListings(pool)) as servers:
            yield servers


def _shown(rows: list[dict[str, Any]]) -> None:
    """A line a server, and a line a tool below it; nothing a server wrote can stand for a line of ours."""
    from app.visible import visible

    for row in rows:
        listing = f"\tlisting {row['digest'][:16]}" if row["digest"] else ""
        print(visible(f"{row['name']}\t{row['status']}\t{row['told']}", keep="\t") + listing)
        for change in row["changes"]:
            print(f"  ! {visible(change)}")
        for tool in row["tools"]:
            left_out = f"\tnot offered: {tool['left_out']}" if tool["left_out"] else ""
            about = " ".join(tool["description"].split())
            print(
                "  " + visible(f"{tool['offered_as']}\t{tool['risk']}\t{tool['name']!r}: {about}{left_out}", keep="\t")
            )


def standing(seen: list[ServerSeen]) -> tuple[bool, str]:
    """(whether all is well, one line) for `ballast doctor`."""
    if not seen:
        return True, "not set: no MCP servers"
    told = [f"{one.name}: {'; '.join([one.told, *one.changes])}" for one in seen]
    return all(one.status == "approved" for one in seen), "; ".join(told)
