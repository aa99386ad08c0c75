"""An MCP server over stdio that lists what FOLDER/tools.json says, and writes each call into FOLDER/calls.

`python mcp_server.py FOLDER`; it stands alone, in a process of its own, and imports nothing of ours.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server


async def serve(folder: Path) -> None:
    """Until the other side hangs up."""
    server: Server[Any] = Server("desk")

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((folder / "tools.json").read_text())
        return found

    async def tools() -> list[types.Tool]:
        return [types.Tool.model_validate({**one, "result": None}) for one in listed()]

    async def call(name: str, arguments: dict[str, Any]) -> list[types.TextContent]:
        with (folder / "calls").open("a") as calls:
            calls.write(json.dumps([name, arguments]) + "\n")
        said = next(one["result"] for one in listed() if one["name"] == name)
        return [types.TextContent(type="text", text=said)]

    server.list_tools()(tools)  # type: ignore[no-untyped-call]  # the SDK's decorators have no types
    server.call_tool(validate_input=False)(call)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
