"""What `langgraph.json` names: the graph and the checkpointer of `langgraph dev`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from app import loop
from app.lifespan import Opened, opened
from app.restore import restore_threads
from checkpoints.saver import PostgresSaver
from graph import react as react_graph

_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, Opened] = WeakKeyDictionary()
"""What the checkpointer below opened, by event loop: connections belong to the loop that made them."""


@asynccontextmanager
async def checkpointer() -> AsyncIterator[PostgresSaver]:
    """The server enters this once a loop, at its start, and leaves it at its end."""
    async with opened() as everything:
        _opened[asyncio.get_running_loop()] = everything
        loop.settle()
        restoring = asyncio.create_task(restore_threads(everything.saver))
        yield everything.saver
        restoring.cancel()


async def engine() -> Opened:
    """What is open on this loop."""
    return _opened[asyncio.get_running_loop()]


react = react_graph.react(engine)
