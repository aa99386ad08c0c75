"""`ballast worker`: fires timers and goes on with what was decided."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.session import with_services

if TYPE_CHECKING:
    from app.lifespan import Opened


def worker(
    concurrency: Annotated[int, typer.Option(min=1, max=100, help="Threads it runs at the same time.")] = 50,
) -> None:
    """Release medium-risk actions at their deadlines, go on with what was decided, notify people; until ctrl-C."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("app").setLevel(logging.INFO)

    async def do(services: Opened) -> None:
        from app import loop
        from app.runs import Runs
        from app.worker import work

        loop.settle()
        runs = Runs(opened=services, progress=lambda _node, _change: None)
        task = asyncio.create_task(work(services, runs.advance, at_once=concurrency))
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, task.cancel)
        logging.getLogger(__name__).info("worker: waiting for deadlines and decisions; ctrl-C stops it")
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    with_services(do)
