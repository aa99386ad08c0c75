"""`make bench`: run both agents in turn, print a table, write results.md."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from app import loop
from benchmarks.costs import Costs, costs
from benchmarks.histories import ITERATIONS, histories
from benchmarks.inbox import inbox
from benchmarks.ours import open_ours
from benchmarks.peer import Run, open_peer
from benchmarks.people import people
from benchmarks.plans import plans
from benchmarks.proxy import delayed
from checkpoints import embedded
from services.encodings import cached_encoding

ROUNDS = 3
SHORT, LONG = 50, 400
RUNS, RUN_ITERATIONS, CONNECTIONS = 50, 20, 32
ROUND_TRIP_S = 0.002
RESULTS = Path(__file__).parent / "results.md"
PACKAGES = ("langgraph", "langchain", "langchain-core", "langgraph-checkpoint-postgres", "psycopg")

PLANS = (
    "Tools take 200 ms, 8 run side by side; graphs are compiled before, as in a service. First table: models take no "
    "time, so a whole run, from the request to the stored answer, is its critical path and what Ballast adds; its "
    "tasks alone, from the stored plan to their stored results. Second: models take 400 ms; `react` and "
    "`create_agent` play the same script, one search at a time where nothing else is said, so their rounds are the "
    "script's and not a model's. Medians of 5 rounds, in brackets the least and the most; ratios are pairwise."
)

STORED = """
SELECT (SELECT coalesce(sum(octet_length(checkpoint::text) + octet_length(metadata::text)), 0)
          FROM checkpoints WHERE thread_id = %(t)s)
     + (SELECT coalesce(sum(octet_length(blob)), 0) FROM checkpoint_blobs WHERE thread_id = %(t)s)
     + (SELECT coalesce(sum(octet_length(blob)), 0) FROM checkpoint_writes WHERE thread_id = %(t)s)
"""
SUPER_STEPS = "SELECT max((metadata ->> 'step')::int) FROM checkpoints WHERE thread_id = %s"


@dataclass(kw_only=True)
class Figures:
    """One agent's measurements, a list entry a round."""

    open: Callable[[str, int], AbstractAsyncContextManager[Run]]
    url: str
    ms: dict[int, list[float]] = field(default_factory=lambda: {SHORT: [], LONG: []})
    stored: dict[int, int] = field(default_factory=dict)
    super_steps: int = 0
    rate: list[float] = field(default_factory=list)


async def measure(one: Figures) -> None:
    """One round: a short and a long run alone, then many at once over the slow connection."""
    async with one.open(one.url, 4) as run:
        await run(uuid4().hex, 5)
        for iterations in (SHORT, LONG):
            # As many iterations at either length, so that a slow moment of the machine weighs the same.
            threads = [uuid4().hex for _ in range(LONG // iterations)]
            spent = [await _seconds(run(thread, iterations)) for thread in threads]
            one.ms[iterations].append(1_000 * sum(spent) / LONG)
            thread = threads[0]
            with psycopg.connect(one.url) as connection:
                stored = connection.execute(STORED, {"t": thread}).fetchone()
                steps = connection.execute(SUPER_STEPS, (thread,)).fetchone()
            one.stored[iterations] = int(stored[0]) // iterations if stored else 0
            # Each run has the start, the last reason and, with Ballast, finish besides its iterations.
            one.super_steps = int(steps[0]) // iterations if steps else 0
    async with delayed(one.url, ROUND_TRIP_S) as slow, one.open(slow, CONNECTIONS) as run:
        await run(uuid4().hex, 2)
        together = _together([run(uuid4().hex, RUN_ITERATIONS) for _ in range(RUNS)])
        one.rate.append(RUNS * RUN_ITERATIONS / await _seconds(together))


async def _together(runs: list[Awaitable[None]]) -> None:
    await asyncio.gather(*runs)


async def _seconds(work: Awaitable[None]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


def table(peer: Figures, ours: Figures, own: Costs) -> str:
    """The figures side by side, medians over the rounds; ratios are pairwise, round by round."""
    median = statistics.median
    time_ratio = median(a / b for a, b in zip(ours.ms[LONG], peer.ms[LONG], strict=True))
    growth = median(a / b for a, b in zip(ours.ms[LONG], ours.ms[SHORT], strict=True))
    rate_ratio = median(a / b for a, b in zip(ours.rate, peer.rate, strict=True))
    rows = [
        (
            f"stored bytes an iteration, {LONG} iterations",
            f"{peer.stored[LONG]:,}",
            f"{ours.stored[LONG]:,}",
            "6,000 or less",
        ),
        (
            f"the same at {LONG} against {SHORT}",
            f"{peer.stored[LONG] / peer.stored[SHORT]:.2f}",
            f"{ours.stored[LONG] / ours.stored[SHORT]:.2f}",
            "1.2 or less",
        ),
        (
            f"ms an iteration, {LONG} iterations",
            f"{median(peer.ms[LONG]):.1f}",
            f"{median(ours.ms[LONG]):.1f} ({time_ratio:.2f} of the peer's)",
            "0.5 of the peer's or less",
        ),
        (
            f"the same at {LONG} against {SHORT}",
            f"{median(peer.ms[LONG]) / median(peer.ms[SHORT]):.2f}",
            f"{growth:.2f}",
            "1.2 or less",
        ),
        (
            f"iterations/s, {RUNS} runs at once, {1_000 * ROUND_TRIP_S:.0f} ms round trip",
            f"{median(peer.rate):.0f}",
            f"{median(ours.rate):.0f} ({rate_ratio:.1f} times the peer's)",
            "3 times the peer's or more",
        ),
        ("super-steps an iteration", f"{peer.super_steps}", f"{ours.super_steps}", "2"),
        *own.rows(),
    ]
    lines = ["| figure | create_agent | Ballast | to reach |", "|---|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def histories_table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    """One history twice."""
    lines = ["| figure | never folded | folded | to reach |", "|---|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def people_table(rows: Sequence[tuple[str, str, str]]) -> str:
    """What no peer has, so against what it has to reach only."""
    lines = ["| figure | Ballast | to reach |", "|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def report(rows: str, plan_tables: str, history_rows: str, people_rows: str) -> str:
    """results.md."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        "# Ballast beside create_agent\n\n"
        "Same scripted model, same 1.1 KB tool result, same Postgres, durability `sync` on both sides, "
        f"in turn, {ROUNDS} rounds, medians; ratios are pairwise. `make bench` writes this page.\n\n"
        f"{rows}\n\n"
        "## Plans\n\n"
        f"{PLANS}\n\n"
        f"{plan_tables}\n\n"
        "## Long histories\n\n"
        f"{ITERATIONS} reads of 2 KB in one run of `react`, by default; tokens counted as folding counts them, "
        f"{'by tiktoken' if cached_encoding() else 'estimated from above: no encoding is cached here'}.\n\n"
        f"{history_rows}\n\n"
        "## People in the loop\n\n"
        "Real processes on the same cores: one `ballast worker`, `langgraph dev`, Postgres, and what drives them.\n\n"
        f"{people_rows}\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {packages}.\n"
    )


async def main() -> None:
    """Measure in turn, so that a slow minute of the machine falls on both."""
    loop.settle()
    with tempfile.TemporaryDirectory() as home:
        server = embedded.start(Path(home))
        peer = Figures(open=open_peer, url=_schema(server, "peer"))
        ours = Figures(open=open_ours, url=_schema(server, "ours"))
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", flush=True)
            await measure(peer)
            await measure(ours)
        own = await costs(_schema(server, "costs"))
        plan_tables = await plans(_schema(server, "plans"), _schema(server, "plans_peer"), Path(home))
        with_histories = await histories(_schema(server, "histories"), Path(home))
        with_people = [
            *await people(_schema(server, "people"), Path(home)),
            *await inbox(_schema(server, "inbox"), Path(home)),
        ]
    rows, people_rows = table(peer, ours, own), people_table(with_people)
    history_rows = histories_table(with_histories)
    print(rows, plan_tables, history_rows, people_rows, sep="\n\n")
    RESULTS.write_text(report(rows, plan_tables, history_rows, people_rows))


def _schema(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    return make_conninfo(url, options=f"-csearch_path={name}")


if __name__ == "__main__":
    loop.run(main())
