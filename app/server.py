"""What `langgraph.json` names: the graph and the checkpointer of `langgraph dev`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from weakref import WeakKeyDictionary

from app import loop
from app.going_on import answering, go_on
from app.lifespan import Opened, opened
from app.restore import restore_threads
from app.standing import standing
from app.worker import work
from checkpoints.saver import PostgresSaver
from graph import plan_execute as plan_graph
from graph import react as react_graph

_log = logging.getLogger(__name__)

_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, Opened] = WeakKeyDictionary()
"""What the checkpointer below opened, by event loop: connections belong to the loop that made them."""


@asynccontextmanager
async def checkpointer() -> AsyncIterator[PostgresSaver]:
    """The server enters this once a loop, at its start, and leaves it at its end."""
    async with opened() as everything:
        _opened[asyncio.get_running_loop()] = everything
        _log.warning("sign-in: %s", await standing(everything))
        loop.settle()
        behind = asyncio.create_task(_behind_the_server(everything))
        yield everything.saver
        behind.cancel()
        await asyncio.wait([behind])


async def _behind_the_server(everything: Opened) -> None:
    """Once it answers: bring back the threads it forgot, fire timers, and go on with what was decided elsewhere."""
    await answering()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_restored(everything.saver))
        tasks.create_task(work(everything, partial(go_on, everything)))


async def _restored(saver: PostgresSaver) -> None:
    try:
        await restore_threads(saver)
    except Exception:  # noqa: BLE001 - deadlines are kept all the same
        _log.exception("threads of before this start are missing until the next")


async def engine() -> Opened:
    """What is open on this loop."""
    return _opened[asyncio.get_running_loop()]


react = react_graph.react(engine)
plan = plan_graph.plan_execute(engine)
