"""What `ballast tools` lists."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from app.session import with_services
from app.visible import visible

if TYPE_CHECKING:
    from app.lifespan import Opened


def listing() -> list[dict[str, Any]]:
    """The tools that are offered. The database is opened only for MCP servers: what was approved of them is there."""
    from services import settings
    from tools import office

    chosen = settings.load()
    return (
        with_services(_with_servers)
        if chosen.mcp.servers
        else office.toolbox(chosen.policy, (), chosen.untrusted).listing()
    )


async def _with_servers(services: Opened) -> list[dict[str, Any]]:
    await services.mcp.examine()
    for line in services.mcp.withheld():
        print(f"ballast: {visible(line)}", file=sys.stderr)
    return services.box.listing()
