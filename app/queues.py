"""Taking jobs out of procrastinate's queues, through every restart of Postgres and after every crash of a worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from procrastinate import App, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Job
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy
from psycopg_pool import PoolTimeout

from checkpoints.database import Pool
from graph.errors import DatabaseUnavailable

HEARTBEAT_S, STALLED_S = 2.0, 10.0
"""A worker that gave no sign of life for so long is taken for dead, and its jobs are done again."""
AWAY_S = 1.0
"""Pause before a database that is away is tried again."""
GRACE_S = 20.0
"""How long a worker that is asked to stop lets its jobs go on. What is cut off then goes on elsewhere."""

AWAY = (ConnectorException, psycopg.OperationalError, PoolTimeout, DatabaseUnavailable)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """One queue: each has connections and slots of its own, so that none waits for another."""

    name: str
    add_tasks: Callable[[App], None]
    """Declares what its jobs do."""
    at_once: int
    poll_s: float
    """How often jobs are looked for whose time has come. Others are announced."""


async def take_out(pool: Pool, queue: Queue) -> None:
    """Do the queue's jobs until cancelled, over connections of its own to the pool's database."""
    while True:
        connector = PsycopgConnector(conninfo=pool.conninfo, min_size=1, max_size=min(queue.at_once, 4) + 1)
        app = App(connector=connector)
        app.job_manager = manager = _Manager(connector)
        queue.add_tasks(app)
        try:
            async with app.open_async(), asyncio.TaskGroup() as tasks:
                recovering = tasks.create_task(_recover(manager, queue.name))
                await _work(app, queue)
                recovering.cancel()  # a part of the worker failed, mostly for want of a database
        except* AWAY as group:
            _log.warning("no database for jobs, trying again: %s", _line(group.exceptions[0]))
        except* Exception:  # noqa: BLE001 - deadlines are kept whatever broke here
            _log.exception("taking out jobs of %s failed, trying again", queue.name)
        await asyncio.sleep(AWAY_S)


async def _work(app: App, queue: Queue) -> None:
    await app.run_worker_async(
        queues=[queue.name],
        concurrency=queue.at_once,
        fetch_job_polling_interval=queue.poll_s,
        shutdown_graceful_timeout=GRACE_S,
        delete_jobs=DeleteJobCondition.SUCCESSFUL,
        install_signal_handlers=False,
        update_heartbeat_interval=HEARTBEAT_S,
        stalled_worker_timeout=STALLED_S,
    )


async def _recover(manager: _Manager, name: str) -> None:
    """Show that this worker lives, until it has stopped; put back the jobs of workers that died."""
    while True:
        await manager.beat()
        for job in await manager.get_stalled_jobs(queue=name, seconds_since_heartbeat=STALLED_S):
            _log.info("job %s was cut off: it is done again", job.id)
            with suppress(ConnectorException):  # another worker was first
                await manager.retry_job(job)
        await asyncio.sleep(HEARTBEAT_S)


class _Manager(JobManager):
    """Knows its worker, to show that it lives.

    procrastinate's own heartbeat ends unnoticed with the first connection that is cut under it, and as soon as the
    worker is asked to stop. Its jobs were then done again by others while it was still at them.
    """

    _worker: int | None = None

    async def register_worker(self) -> int:
        """See `JobManager.register_worker`."""
        self._worker = await super().register_worker()
        return self._worker

    async def beat(self) -> None:
        """Note that the worker lives, once there is one."""
        if self._worker is not None:
            await self.update_heartbeat(self._worker)


class WhenCutOff(BaseRetryStrategy):
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
