"""The connection to one MCP server: opened when it is needed, opened anew after it was lost, always within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from graph.errors import ToolUnavailable
from services.invisible import without_invisible
from services.mcp_file import Server

if TYPE_CHECKING:
    from mcp import ClientSession

T = TypeVar("T")

END_S = 5.0
"""How long a connection may take to end, in seconds. Then it is left behind."""


MOST_MESSAGES = 20_000
"""Of a server between two requests of ours: one that talks without end would keep this process busy for ever, long
after the call was given up."""

TALKS = f"it sent over {MOST_MESSAGES} messages that nobody asked for"


class ServerDown(ToolUnavailable):
    """The MCP server could not be asked at all: nothing was begun."""


class ServerLost(ConnectionError):
    """The MCP server was lost while it was asked: whatever it was to do may have happened."""


class ServerSlow(Exception):
    """The MCP server did not answer a call in time: it may still do what it was asked."""


@dataclass(eq=False)
class Losing:
    """Told by a transport when nothing good will come of the connection any more."""

    why: str = ""
    event: asyncio.Event = field(default_factory=asyncio.Event)

    def lose(self, why: str) -> None:
        """The first reason stays."""
        self.why = self.why or why
        self.event.set()

    async def hear(self, message: Any) -> None:
        """What the session does not know what to do with. An answer to a call that was given up is none of it."""
        if isinstance(message, ValueError):
            self.lose("it sent what is no answer")


@dataclass(frozen=True, kw_only=True)
class _Serving:
    session: ClientSession
    task: asyncio.Task[None]
    losing: Losing


Transport = Callable[[Server, Losing], AbstractAsyncContextManager["ClientSession"]]


class Link:
    """The connection to the server called `name`. Its session is entered and left by a task of its own."""

    def __init__(self, name: str, server: Server) -> None:
        self._name, self._server = name, server
        self._lock = asyncio.Lock()
        self._serving: _Serving | None = None

    async def ask(self, ask: Callable[[ClientSession], Awaitable[T]]) -> T:
        """What `ask` gives.

        Raises:
            ServerDown: it was not called.
            ServerLost: it was, and the connection broke.
            Exception: whatever it raises.
        """
        serving = await self._ready()
        asking = asyncio.ensure_future(ask(serving.session))
        try:
            await asyncio.wait({asking, serving.task}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ServerLost(f"MCP server {self._name}: {serving.losing.why or 'the connection broke'}")
            return await asking
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise ServerLost(f"MCP server {self._name}: the connection is closed") from None
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError, Exception):  # it was told by the way above
                await asking

    async def give_up(self, why: str) -> None:
        """Whoever asks now is told that the server was lost; the next one finds it opened anew."""
        if self._serving is not None:
            self._serving.losing.lose(why)

    async def aclose(self) -> None:
        """End the connection, and the process behind it."""
        async with self._lock:
            await self._end("it is closed")

    async def _ready(self) -> _Serving:
        async with self._lock:
            if self._serving is None or self._serving.task.done() or self._serving.losing.event.is_set():
                await self._end("it is opened anew")
                self._serving = await self._begin()
            return self._serving

    async def _begin(self) -> _Serving:
        # mcp takes a second to import: only where a server is asked, and never in the way of other runs.
        transport = await asyncio.to_thread(import_module, f"tools.mcp_{'stdio' if self._server.command else 'http'}")
        losing, ready = Losing(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._serve(transport.session, losing, ready), name=f"mcp {self._name}")
        lost = asyncio.create_task(losing.event.wait())
        try:
            await asyncio.wait({task, ready, lost}, timeout=self._server.connect_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            if not ready.done():
                await _left(task)
        if not ready.done():
            slow = f"it did not answer within {self._server.connect_s:g} s"
            raise ServerDown(f"MCP server {self._name} can't be reached: {losing.why or slow}")
        return _Serving(session=ready.result(), task=task, losing=losing)

    async def _serve(self, session_with: Transport, losing: Losing, ready: asyncio.Future[ClientSession]) -> None:
        """From its start to its end in one task: what opens a session must close it."""
        try:
            async with session_with(self._server, losing) as session:
                await session.initialize()
                if not ready.done():
                    ready.set_result(session)
                await losing.event.wait()
        except Exception as error:  # noqa: BLE001 - a server may make its client raise anything
            losing.lose(_words(error))

    async def _end(self, why: str) -> None:
        if self._serving is None:
            return
        serving, self._serving = self._serving, None
        serving.losing.lose(why)
        await asyncio.wait({serving.task}, timeout=END_S)
        await _left(serving.task)


async def _left(task: asyncio.Task[None]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=END_S)


def _words(error: BaseException) -> str:
    """One short line; of a group of errors the first that is one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    told = without_invisible(" ".join(str(error).split()))
    return f"{type(error).__name__}: {told:.200}" if told else type(error).__name__
