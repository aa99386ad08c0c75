"""The worker: takes jobs out of procrastinate's queues: goes on with threads, and tells people of new approvals.

A job only asks: what is due and what was decided is told by the approval rows, and a run takes that over. So a job
that comes twice, late, or for a thread that went another way changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from procrastinate import App

from app import notifications
from app.lifespan import Opened
from app.queues import Queue, WhenCutOff, take_out
from checkpoints import jobs
from graph.errors import ThreadBusy, ThreadTaken

GoOn = Callable[[str], Awaitable[None]]
"""Goes on with a thread, by its id, until it ends or waits again. Raises ThreadBusy when another process runs it."""

AT_ONCE = 50
"""Threads a worker runs at the same time: mostly they wait for models, and none that is due waits for them."""
POLL_S = 0.2
BUSY_S = 1.0
"""Pause before a busy thread is tried again."""

_log = logging.getLogger(__name__)


async def work(opened: Opened, go_on: GoOn, *, at_once: int = AT_ONCE) -> None:
    """Take out jobs until cancelled, through every restart of Postgres."""

    def add_tasks(app: App) -> None:
        @app.task(name=jobs.ADVANCE, queue=jobs.QUEUE, retry=WhenCutOff())
        async def task(thread_id: str) -> None:
            await advance(opened, go_on, thread_id)

    threads = Queue(name=jobs.QUEUE, add_tasks=add_tasks, at_once=at_once, poll_s=POLL_S)
    async with asyncio.TaskGroup() as tasks:
        for queue in (threads, *notifications.queues(opened)):
            tasks.create_task(take_out(opened.pool, queue))


async def advance(opened: Opened, go_on: GoOn, thread_id: str) -> None:
    """Release what is due in the thread, and go on with what was decided in it, or with a run that was cut off."""
    released = await opened.approvals.release_due(thread_id, overdue_s=opened.settings.overdue_seconds)
    for row in released:
        _log.info("thread %s: %s %s at its deadline", thread_id, row.tool, row.status)
    if not (released or await opened.approvals.to_go_on(thread_id)):
        return
    try:
        await go_on(thread_id)
    except ThreadTaken:  # another process goes on with it
        return
    except ThreadBusy:
        await opened.approvals.advance_later(thread_id, BUSY_S)
    else:
        run = await opened.runs.get(thread_id)
        _log.info("thread %s: %s", thread_id, run.outcome if run else "gone")
