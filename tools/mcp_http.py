"""An MCP session with a server behind an address (streamable HTTP), in bounded answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from langchain_mcp_adapters.sessions import StreamableHttpConnection, create_session
from mcp import ClientSession

from services.mcp_file import Server
from tools.mcp_link import MOST_MESSAGES, TALKS, Losing

MAX_BYTES = 8_000_000
"""Longest answer, and longest event of a stream."""


@asynccontextmanager
async def session(server: Server, losing: Losing) -> AsyncIterator[ClientSession]:
    """A session that is not initialized yet. Its end is told to the server.

    Raises:
        Exception: whatever the client raises, also in groups.
    """
    assert server.url is not None  # noqa: S101 - the caller has looked

    async def bounded(response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            losing.lose("it sent what is packed, which nobody asked for")
            raise httpx.DecodingError("packed")
        events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - of an async client
        response.stream = _Bounded(response.stream, losing, events=events)

    def client(
        headers: dict[str, str] | None = None, timeout: httpx.Timeout | None = None, auth: httpx.Auth | None = None
    ) -> httpx.AsyncClient:
        given = {**(headers or {}), "accept-encoding": "identity"}
        return httpx.AsyncClient(headers=given, timeout=timeout, auth=auth, event_hooks={"response": [bounded]})

    options: dict[str, Any] = {"message_handler": losing.hear}
    connection = StreamableHttpConnection(
        transport="streamable_http",
        url=server.url,
        headers=dict(server.headers),
        timeout=server.connect_s,
        sse_read_timeout=server.timeout_s,
        httpx_client_factory=client,
        session_kwargs=options,
    )
    async with create_session(connection) as opened:
        yield opened


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, losing: Losing, *, events: bool) -> None:
        self._inner, self._losing, self._events = inner, losing, events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = events = 0
        async for chunk in self._inner:
            size += len(chunk)
            events += chunk.count(b"\n\n") + chunk.count(b"\r\n\r\n") if self._events else 0
            if events > MOST_MESSAGES:
                self._losing.lose(TALKS)
                raise httpx.ReadError("too many")
            if self._events and (ends := max(chunk.rfind(b"\n\n"), chunk.rfind(b"\r\n\r\n"))) >= 0:
                size = len(chunk) - ends
            if size > MAX_BYTES:
                self._losing.lose(f"it sent over {MAX_BYTES} bytes at once")
                raise httpx.ReadError("too much")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
