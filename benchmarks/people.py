"""People in the loop: many deciders at once, many deadlines at once, and processes killed in the middle."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from app.lifespan import Opened, opened
from app.runs import Runs
from benchmarks.server import dev_server
from graph.context import LocalContext
from graph.errors import AlreadyDecided
from services import settings

RACES, DECIDERS = 500, 8
DUE, DUE_AT_ONCE, DUE_KILLED = 1_000, 50, 200
ASKING_AT_ONCE = 8
IN_S = 2.0
"""How soon deadlines come once a worker waits for them, in seconds."""

MAIL = {"name": "send_email", "args": {"to": "ann@example.com", "subject": "Hi", "body": "Hello"}}

MAKE_DUE = """
UPDATE approvals SET deadline = now() + (%(in_s)s + %(within_s)s * random()) * interval '1 second'
WHERE thread_id LIKE %(threads)s AND status = 'pending'
"""
FIRE = """
UPDATE procrastinate_jobs job SET scheduled_at = deadline FROM approvals a
WHERE a.thread_id = job.args ->> 'thread_id' AND a.thread_id LIKE %(threads)s AND job.status = 'todo'
"""
ENDED = "SELECT count(*) AS ended FROM runs WHERE thread_id LIKE %(threads)s AND outcome = 'completed'"
SENT = """
SELECT extract(epoch FROM created_at - deadline)::float8 AS begun,
    extract(epoch FROM decided_at - deadline)::float8 AS released,
    extract(epoch FROM finished_at - deadline)::float8 AS out,
    extract(epoch FROM finished_at - min(deadline) OVER ())::float8 AS after, state
FROM effects JOIN (SELECT thread_id, deadline, decided_at FROM approvals) a USING (thread_id)
WHERE thread_id LIKE %(threads)s
"""

Row = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A database with an office to work on."""

    url: str
    folder: Path
    services: Opened

    @property
    def environment(self) -> dict[str, str]:
        """Of the processes that are started."""
        return {**os.environ, "DATABASE_URL": self.url, "LANGSMITH_TRACING": "false"}

    async def ask(self, name: str, count: int) -> list[str]:
        """Threads that wait for a mail to go out; their ids begin with `name`."""
        runs = Runs(opened=self.services, progress=lambda _node, _change: None)
        script = self.folder / "script.yaml"
        script.write_text(yaml.safe_dump({"turns": [{"tool_calls": [MAIL]}, {"content": "Sent."}]}))
        context = LocalContext(model=f"scripted:{script}", workspace=self.folder, approval_seconds=86_400)
        turn = asyncio.Semaphore(ASKING_AT_ONCE)

        async def one(thread_id: str) -> None:
            async with turn:
                await runs.start("write to ann", thread_id=thread_id, context=context)

        threads = [f"{name}-{number}" for number in range(count)]
        await asyncio.gather(*map(one, threads))
        return threads

    async def fetch(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Rows of a query; none of a statement that gives none."""
        async with self.services.pool.connection() as connection:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall() if cursor.description else []

    async def make_due(self, name: str, *, in_s: float = IN_S, within_s: float = 0.0) -> None:
        """Deadlines of these threads come in `in_s` seconds, spread over `within_s`."""
        values = {"threads": f"{name}-%", "in_s": in_s, "within_s": within_s}
        await self.fetch(MAKE_DUE, **values)
        await self.fetch(FIRE, threads=f"{name}-%")

    async def ended(self, name: str, count: int) -> None:
        """Wait until so many of these threads have ended."""
        while (await self.fetch(ENDED, threads=f"{name}-%"))[0]["ended"] < count:  # noqa: ASYNC110 - others end them
            await asyncio.sleep(0.1)


@asynccontextmanager
async def worker(bench: Bench) -> AsyncIterator[subprocess.Popen[str]]:
    """`ballast worker`, in a process of its own, once it waits for jobs."""
    process = subprocess.Popen(  # noqa: ASYNC220 - starting it takes no time
        [sys.executable, "-m", "app.cli", "worker"], env=bench.environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None  # noqa: S101 - a pipe, as asked for
    await asyncio.to_thread(process.stderr.readline)
    draining = asyncio.create_task(asyncio.to_thread(process.stderr.read))
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
        await draining


async def races(bench: Bench) -> list[Row]:
    """Each approval is hit by people and by its timer at once."""
    await bench.ask("race", RACES)
    approvals = bench.services.approvals

    async def person(approval_id: str, number: int) -> str:
        try:
            await approvals.decide(approval_id, {"type": "approve"}, by=f"person {number}")
        except AlreadyDecided as late:
            return f"told {late.row.decided_by}"
        return "won"

    async def hit(approval_id: str) -> list[str]:
        return list(await asyncio.gather(*(person(approval_id, number) for number in range(DECIDERS))))

    async with worker(bench):
        rows = [row for row in await approvals.find(pending=True) if row.thread_id.startswith("race-")]
        await bench.make_due("race", in_s=0.2, within_s=3.0)
        ends = [await hit(row.id) for row in rows]
        await bench.ended("race", RACES)
    stored = await approvals.get_all([row.id for row in rows])
    by_timer = sum(row.decided_by == "timer" for row in stored)
    singles = sum(
        end.count("won") == (row.decided_by != "timer")
        and end.count(f"told {row.decided_by}") == DECIDERS - end.count("won")
        for end, row in zip(ends, stored, strict=True)
    )
    sent = await bench.fetch(SENT, threads="race-%")
    return [
        (
            f"{RACES} approvals, each hit by {DECIDERS} people and its timer: one winner, all others told",
            f"{singles} ({by_timer} by the timer)",
            f"{RACES}",
        ),
        ("their effects", f"{len(sent)}", f"{RACES}"),
    ]


async def deadlines(bench: Bench) -> list[Row]:
    """Many actions due at once, with one worker."""
    async with worker(bench):
        for name, count, within_s in (("few", DUE_AT_ONCE, 0.0), ("many", DUE, 1.0)):
            await bench.ask(name, count)
            await bench.make_due(name, within_s=within_s)
            await bench.ended(name, count)
    few = await bench.fetch(SENT, threads="few-%")
    many = await bench.fetch(SENT, threads="many-%")
    released, out = (statistics.quantiles([row[name] for row in few], n=100)[-1] for name in ("released", "out"))
    early = sum(row["begun"] < 0 for row in [*few, *many])
    return [
        (
            f"{DUE_AT_ONCE} actions due at once: lateness, 99th percentile",
            f"released {released:.2f} s, out {out:.2f} s",
            "released 1 s or less",
        ),
        (f"{DUE:,} actions due in one second: all out after", f"{max(r['after'] for r in many):.1f} s", "30 s or less"),
        ("of them out twice, or never", f"{_off(few, DUE_AT_ONCE) + _off(many, DUE)}", "0"),
        ("of them begun before their deadline", f"{early}", "0"),
    ]


async def killed(bench: Bench) -> list[Row]:
    """Worker and server killed in the middle of many deadlines, and started anew."""
    await bench.ask("killed", DUE_KILLED)
    async with worker(bench) as first, dev_server(bench.environment, bench.folder) as server:
        await bench.make_due("killed", in_s=0.0)
        await bench.ended("killed", DUE_KILLED // 4)
        first.kill()
        server.process.kill()
    async with worker(bench), dev_server(bench.environment, bench.folder):
        await bench.ended("killed", DUE_KILLED)
    off = _off(await bench.fetch(SENT, threads="killed-%"), DUE_KILLED)
    return [(f"{DUE_KILLED} due, worker and server killed in the middle: lost or out twice", f"{off}", "0")]


def _off(sent: Sequence[dict[str, Any]], wanted: int) -> int:
    return abs(len(sent) - wanted) + len([row for row in sent if row["state"] != "done"])


async def people(url: str, folder: Path) -> list[Row]:
    """All of it, in turn."""
    async with opened(settings.load(database_url=url, home=folder, openai_api_key=None)) as services:
        bench = Bench(url=url, folder=folder, services=services)
        return [*await races(bench), *await deadlines(bench), *await killed(bench)]
