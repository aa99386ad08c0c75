"""Plays cases of `plan_cases.py` in forked processes that kill themselves with SIGKILL.

A program of its own (`python plan_kills.py DATABASE_URL FOLDER`), as `kill_points.py` is: a case a line on stdin,
what is left of its run a line on stdout: {"thread", "killed", "facts"}.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from app import loop
from app.lifespan import opened
from services.settings import load
from tests.integration.plan_cases import Case
from tests.integration.plan_sessions import MOST_SESSIONS, Bench, Desk, Place, Session, kill_of


def play(url: str, desk: Desk, case: Case, place: Place) -> dict[str, Any]:
    """Process after process until the run has ended."""
    killed = 0
    for number in range(MOST_SESSIONS):
        told = _in_a_process(url, desk, case, place, number)
        if told is None:
            killed += 1
        elif told["facts"] is not None:
            return {"thread": place.thread, "killed": killed, **told}
    raise AssertionError(f"not at its end after {MOST_SESSIONS} processes: {json.dumps(case)}")


def _in_a_process(url: str, desk: Desk, case: Case, place: Place, number: int) -> dict[str, Any] | None:
    """What a process told at its end; None when it killed itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            facts = asyncio.run(_session(url, desk, case, place, number))
            out.write(json.dumps({"facts": facts}, default=str))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as read:
        told = read.read()
    _, status = os.waitpid(child, 0)
    if told:
        return dict(json.loads(told))
    assert os.WIFSIGNALED(status), f"a process failed: {json.dumps(case)}"
    return None


async def _session(url: str, desk: Desk, case: Case, place: Place, number: int) -> dict[str, Any] | None:
    settings = load(database_url=url, openai_api_key=None, breaker_failures=1_000)
    async with opened(settings) as everything:
        bench = Bench(everything, settings, desk)
        bench.begin(place, kill_of(case, number), lambda: os.kill(os.getpid(), signal.SIGKILL))
        return await Session(case=case, place=place, number=number, bench=bench).go_on()


def main(url: str, folder: str) -> None:
    """Play what comes."""
    loop.settle()  # else every process that is forked walks, and so copies, all that was imported
    desk = Desk()
    for number, line in enumerate(sys.stdin):
        played = play(url, desk, json.loads(line), Place(thread=f"killed-{number}", folder=Path(folder)))
        sys.stdout.write(json.dumps(played) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
