"""Folders that MCP servers of the tests serve, and their listings approved."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkpoints.database import Pool
from checkpoints.listings import PostgresListings
from services.settings import load
from tests.integration.tools_bench import Bench
from tools.mcp import McpServers, open_servers
from tools.mcp_listing import listing_of

SERVER = Path(__file__).parent / "mcp_server.py"
READS = {"readOnlyHint": True, "openWorldHint": False}


def listed(name: str, annotations: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": f"The tool {name}.", "inputSchema": schema, "annotations": annotations}


READ, NOTE = listed("read", READS, id={"type": "integer"}), listed("write_note", text={"type": "string"})


class Office:
    """One server's folder, and the file that lists it."""

    def __init__(self, folder: Path, name: str = "desk", **settings: Any) -> None:
        self.folder, self.name = folder, name
        folder.mkdir(exist_ok=True)
        self.config = {"command": [sys.executable, str(SERVER), str(folder)], **settings}

    def lists(self, *tools: dict[str, Any]) -> None:
        self.say(list(tools))

    def say(self, listing: Any) -> None:
        (self.folder / "tools.json").write_text(json.dumps(listing))

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


def config(folder: Path, *offices: Office) -> Path:
    path = folder / "mcp.yaml"
    path.write_text(yaml.safe_dump({"servers": {one.name: one.config for one in offices}}))
    return path


@asynccontextmanager
async def servers(pool: Pool, folder: Path, *offices: Office) -> AsyncIterator[McpServers]:
    async with open_servers(load(mcp=config(folder, *offices)).mcp, PostgresListings(pool)) as ready:
        yield ready


async def approve(pool: Pool, *offices: Office) -> None:
    """As `McpServers.approve` does, without starting the servers."""
    asking, types = pytest.importorskip("tools.mcp_asking"), pytest.importorskip("mcp.types")
    for one in offices:
        said = [types.Tool.model_validate(tool) for tool in json.loads((one.folder / "tools.json").read_text())]
        listing = listing_of([asking.as_listed(tool) for tool in said])
        await PostgresListings(pool).approve(one.name, digest=listing.digest, tools=listing.text, by="ann")


Working = Callable[..., AbstractAsyncContextManager[Bench]]
