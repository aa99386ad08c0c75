"""Plays cases of `plan_cases.py` in forked processes that kill themselves with SIGKILL.

A program of its own, as `kill_points.py` is: [thread, case] a line on stdin, what is left of its run a line on stdout.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app import loop
from app.lifespan import opened
from services.settings import load
from tests.integration.plan_cases import Case
from tests.integration.plan_sessions import MOST_SESSIONS, Bench, Desk, Place, Session, kill_of


@contextmanager
def killing(url: str, folder: Path) -> Iterator[Callable[[Case, Place], dict[str, Any]]]:
    """The program at work: plays a case, gives what is left of its run."""
    command = [sys.executable, "-m", "tests.integration.plan_kills", url, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=pipe, stdout=pipe, text=True) as program:
        assert program.stdin
        into, out = program.stdin, program.stdout

        def played(case: Case, place: Place) -> dict[str, Any]:
            assert out
            into.write(json.dumps([place.thread, case]) + "\n")
            into.flush()
            return dict(json.loads(out.readline()))

        yield played
        into.close()


def play(url: str, desk: Desk, case: Case, place: Place) -> dict[str, Any]:
    """Process after process until the run has ended."""
    for number in range(MOST_SESSIONS):
        told = _in_a_process(url, desk, case, place, number)
        if told and told["facts"] is not None:
            return dict(told["facts"])
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
    for line in sys.stdin:
        thread, case = json.loads(line)
        played = play(url, desk, case, Place(thread=thread, folder=Path(folder)))
        sys.stdout.write(json.dumps(played) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
