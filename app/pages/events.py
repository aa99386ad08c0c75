"""The stream that tells an open page that something changed. It says no more: the page asks for what it may see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app.pages.visit import visit
from checkpoints.changes import Changes

PING_S = 20
GAP_S = 0.2
"""Between two notices: a hundred decisions at once are one piece of news."""
SEND_S = 10.0
"""A client that takes nothing for so long is dropped: its page connects again and is told at once."""


class Stream(EventSourceResponse):
    """Server-sent events named `changed`, the first one at once."""

    def __init__(self, changes: Changes, *, send_s: float = SEND_S) -> None:
        super().__init__(_events(changes), ping=PING_S, send_timeout=send_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client leaves, or takes no more."""
        with suppress(SendTimeoutError):
            await super().__call__(scope, receive, send)


async def show(request: Request) -> Stream:
    """GET /inbox/events."""
    await visit(request)
    return Stream(request.app.state.changes)


async def _events(changes: Changes) -> AsyncIterator[ServerSentEvent]:
    with changes.listener() as listener:
        while True:
            await listener.wait()
            yield ServerSentEvent(event="changed", data="now")
            await asyncio.sleep(GAP_S)
