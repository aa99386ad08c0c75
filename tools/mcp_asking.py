"""The two requests made of an MCP server.

Sent as they are: the SDK's own methods also check a result by the server's schema, after the effect, with regular
expressions and references of the server's choice.
"""

from __future__ import annotations

import json
from typing import Any

from mcp import ClientSession, McpError
from mcp.types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    ClientRequest,
    EmbeddedResource,
    ListToolsRequest,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    TextResourceContents,
    Tool,
)
from pydantic import ValidationError

from graph.errors import ToolFailed
from tools.mcp_link import ServerDown, ServerLost
from tools.mcp_listing import MOST_TOOLS, BadListing, Listed

REFUSED = frozenset({PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS})
"""JSON-RPC errors that say that nothing was begun."""

CLOSED = -32000
"""The SDK's own, for a connection that closed."""


class ServerError(Exception):
    """The MCP server answered a call with an error that does not say what was done."""


async def listed(session: ClientSession) -> list[Listed]:
    """All tools, page by page.

    Raises:
        BadListing: there is no end of them, or a page is none.
        ServerDown: it refuses to list any.
    """
    tools: list[Listed] = []
    cursor: str | None = None
    for _ in range(MOST_TOOLS):
        request = ListToolsRequest(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
        try:
            page = await session.send_request(ClientRequest(request), ListToolsResult)
        except ValidationError:
            raise BadListing("lists what are no tools") from None
        except McpError as error:
            raise ServerDown(f"an MCP server lists no tools: {error}"[:300]) from None
        tools += map(as_listed, page.tools)
        cursor = page.nextCursor
        if not cursor or len(tools) > MOST_TOOLS:
            return tools
    raise BadListing(f"lists its tools on over {MOST_TOOLS} pages")


def as_listed(tool: Tool) -> Listed:
    """What is pinned of a tool."""
    hints = tool.annotations.model_dump(mode="json", exclude_none=True) if tool.annotations else {}
    return Listed(name=tool.name, description=tool.description or "", schema=tool.inputSchema, annotations=hints)


async def call_tool(session: ClientSession, name: str, arguments: dict[str, Any]) -> str:
    """The result as text; what is no text is named, not shown.

    Raises:
        ToolFailed: the server says that it failed.
        ServerLost: it sent what is no result.
        ServerError: see there.
    """
    request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments))
    try:
        result = await session.send_request(ClientRequest(request), CallToolResult)
    except ValidationError:
        raise ServerLost("the MCP server sent what is no result") from None
    except McpError as error:
        if error.error.code == CLOSED:
            raise ServerLost("the MCP server closed the connection") from None
        kind = ToolFailed if error.error.code in REFUSED else ServerError
        raise kind(f"the MCP server answered with error {error.error.code}: {error.error.message}") from None
    text = _text(result)
    if result.isError:
        raise ToolFailed(text or "the MCP server says that it failed, not why")
    return text


def _text(result: CallToolResult) -> str:
    parts = []
    for block in result.content:
        if isinstance(block, TextContent):
            parts.append(block.text)
        elif isinstance(block, EmbeddedResource) and isinstance(block.resource, TextResourceContents):
            parts.append(block.resource.text)
        else:
            parts.append(f"[{block.type}: not shown]")
    if not parts and result.structuredContent is not None:
        return json.dumps(result.structuredContent, ensure_ascii=False)
    return "\n".join(parts)
