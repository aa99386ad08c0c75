"""The worker: takes jobs out of procrastinate's queue and goes on with their threads.

A job only asks: what is due and what was decided is told by the approval rows, and a run takes that over. So a job
that comes twice, late, or for a thread that went another way changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psycopg
from procrastinate import App, JobContext, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Job
from procrastinate.retry import BaseRetryStrategy
from psycopg_pool import PoolTimeout

from app.lifespan import Opened
from checkpoints import jobs
from graph.errors import DatabaseUnavailable, ThreadBusy, ThreadTaken

GoOn = Callable[[str], Awaitable[None]]
"""Goes on with a thread, by its id, until it ends or waits again. Raises ThreadBusy when another process runs it."""

AT_ONCE = 10
"""Threads a worker runs at the same time."""
POLL_S = 0.2
"""How often a worker looks for jobs whose time has come. Others are announced."""
HEARTBEAT_S, STALLED_S = 2.0, 10.0
"""A worker that gave no sign of life for so long is taken for dead, and its jobs are done again."""
BUSY_S, AWAY_S = 1.0, 1.0
"""Pauses before a busy thread, and a database that is away, are tried again."""
GRACE_S = 20.0
"""How long a worker that is asked to stop lets its runs go on. What is cut off then goes on elsewhere."""

AWAY = (ConnectorException, psycopg.OperationalError, PoolTimeout, DatabaseUnavailable)

_log = logging.getLogger(__name__)


async def work(opened: Opened, go_on: GoOn, *, at_once: int = AT_ONCE) -> None:
    """Take out jobs until cancelled, through every restart of Postgres."""
    while True:
        queue = _queue(opened, go_on, at_once)
        try:
            async with queue.open_async(), asyncio.TaskGroup() as tasks:
                recovering = tasks.create_task(_recover(queue))
                await _take_out(queue, at_once)
                recovering.cancel()  # a part of the worker failed, mostly for want of a database
        except* AWAY as group:
            _log.warning("no database for jobs, trying again: %s", _line(group.exceptions[0]))
        await asyncio.sleep(AWAY_S)


async def advance(opened: Opened, go_on: GoOn, thread_id: str, *, cut_off: bool) -> None:
    """Release what is due in the thread, and go on with what was decided in it.

    `cut_off`: an earlier try at this job did not end, so the run that it began may need to go on.
    """
    released = await opened.approvals.release_due(thread_id, overdue_s=opened.settings.overdue_seconds)
    for row in released:
        _log.info("thread %s: %s %s at its deadline", thread_id, row.tool, row.status)
    if not (released or cut_off or await opened.approvals.to_apply(thread_id)):
        return
    try:
        await go_on(thread_id)
    except ThreadTaken:  # another process goes on with it
        return
    except ThreadBusy:  # a job of its own: this one was not cut off, and must not resume what a person stops meanwhile
        await opened.approvals.advance_later(thread_id, BUSY_S, cut_off=cut_off)
    else:
        run = await opened.runs.get(thread_id)
        _log.info("thread %s: %s", thread_id, run.outcome if run else "gone")


async def _take_out(queue: App, at_once: int) -> None:
    await queue.run_worker_async(
        queues=[jobs.QUEUE],
        concurrency=at_once,
        fetch_job_polling_interval=POLL_S,
        shutdown_graceful_timeout=GRACE_S,
        delete_jobs=DeleteJobCondition.SUCCESSFUL,
        install_signal_handlers=False,
        update_heartbeat_interval=HEARTBEAT_S,
        stalled_worker_timeout=STALLED_S,
    )


async def _recover(queue: App) -> None:
    """Put back the jobs of workers that died."""
    while True:
        for job in await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
            _log.info("job %s was cut off: it is done again", job.id)
            with suppress(ConnectorException):  # another worker was first
                await queue.job_manager.retry_job(job)
        await asyncio.sleep(HEARTBEAT_S)


def _queue(opened: Opened, go_on: GoOn, at_once: int) -> App:
    pool = opened.pool
    queue = App(connector=PsycopgConnector(conninfo=pool.conninfo, min_size=1, max_size=min(at_once, 4) + 1))

    @queue.task(name=jobs.ADVANCE, queue=jobs.QUEUE, pass_context=True, retry=_WhenCutOff())
    async def task(context: JobContext, thread_id: str, *, cut_off: bool = False) -> None:
        await advance(opened, go_on, thread_id, cut_off=cut_off or context.job.attempts > 0)

    return queue


class _WhenCutOff(BaseRetryStrategy):
    """A job that lost its database or its worker is done again; what failed otherwise is kept as failed."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """See `BaseRetryStrategy.get_retry_decision`."""
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, AWAY):
            return RetryDecision(retry_in={"seconds": min(30, job.attempts + 1)})
        return None


def _line(error: BaseException) -> str:
    return " ".join(str(error.__cause__ or error).split())
