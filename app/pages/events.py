"""The stream that tells an open page that something changed. It says no more: the page asks for what it may see."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from app.pages.visit import visit
from checkpoints.changes import Changes

PING_S = 20
SEND_S = 10.0
"""A client that takes nothing for so long is dropped: its page connects again and is told at once."""


async def show(request: Request) -> Response:
    """GET /inbox/events: server-sent events named `changed`, the first one at once."""
    await visit(request)
    return EventSourceResponse(_stream(request.app.state.changes), ping=PING_S, send_timeout=SEND_S)


async def _stream(changes: Changes) -> AsyncIterator[ServerSentEvent]:
    with changes.listener() as listener:
        while True:
            await listener.wait()
            yield ServerSentEvent(event="changed", data="now")
