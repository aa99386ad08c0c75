"""How many calls of a run are in flight together: in all, of one tool, and to one host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from graph.context import Run
from graph.state import Call

ALL = ""


class Slots:
    """The places of one step. A call waits for its tool and its host before it takes one of those for all."""

    def __init__(self, run: Run) -> None:
        self._tools = run.services.tools
        self._places = {ALL: asyncio.Semaphore(run.at_once)}
        self.model = asyncio.Semaphore(run.at_once)
        """Places for sub-tasks that ask a model: as many as for calls, beside them."""

    @asynccontextmanager
    async def taken(self, call: Call) -> AsyncIterator[None]:
        """Wait for the call's places, and hold them."""
        async with AsyncExitStack() as held:
            for name, most in sorted(self._tools.bounds(call["name"], call["args"]).items()):
                await held.enter_async_context(self._places.setdefault(name, asyncio.Semaphore(most)))
            await held.enter_async_context(self._places[ALL])
            yield
