"""The MCP server of the tests by the SDK, over HTTP: `python -m tests.integration.mcp_http_server FOLDER [--json]`.

It serves on a free port of the loopback address, which it prints first.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvicorn
from mcp import McpError, types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.integration.mcp_server import Refused, called, listing


async def lists(_request: types.ListToolsRequest) -> types.ServerResult:
    return types.ServerResult(types.ListToolsResult.model_validate(await asyncio.to_thread(listing)))


async def calls(request: types.CallToolRequest) -> types.ServerResult:
    try:
        told = await asyncio.to_thread(called, request.params.name, request.params.arguments or {})
    except Refused as refused:
        raise McpError(types.ErrorData(code=refused.code, message=str(refused))) from None
    return types.ServerResult(types.CallToolResult.model_validate(told))


async def serve() -> None:
    server: Server[Any] = Server("test")
    server.request_handlers |= {types.ListToolsRequest: lists, types.CallToolRequest: calls}
    sessions = StreamableHTTPSessionManager(app=server, json_response="--json" in sys.argv)

    def running(_app: Starlette) -> AbstractAsyncContextManager[None]:
        return sessions.run()

    app = Starlette(routes=[Mount("/mcp", app=sessions.handle_request)], lifespan=running)
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    await uvicorn.Server(uvicorn.Config(app, log_level="critical")).serve([listening])


if __name__ == "__main__":
    asyncio.run(serve())
