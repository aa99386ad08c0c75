"""The whole suite: lanes side by side, each a process of its own, and their results as they come."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import os
import selectors
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from app import loop
from evals.chaos import lane
from evals.chaos.case import EVERYWHERE, parse_id
from evals.chaos.results import Result

BLOWS_PER_KILL = 1 / 10
FEWEST_BLOWS = 6


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked for."""

    seed: int
    kills: int
    runs: int
    """With model faults."""
    faults: tuple[str, ...]
    graph: str = "react"
    only: str | None = None
    """One case's id."""


def play(plan: Plan, tell: Callable[[Result], None]) -> None:
    """Play what is planned, on one lane a processor, at most two.

    Raises:
        RuntimeError: a lane broke down.
    """
    importlib.import_module("services.openai_model")  # a second, once, not in every process that is forked
    loop.settle()
    count = 1 if plan.only else min(2, os.cpu_count() or 1)
    with selectors.DefaultSelector() as selector:
        lanes = {}
        for position in range(count):
            reading, pid = _fork_lane(plan, position, count)
            lanes[reading] = pid
            selector.register(reading, selectors.EVENT_READ, b"")
        broken = False
        while lanes:
            for key, _ in selector.select():
                data = os.read(key.fd, 65_536)
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    broken |= os.waitpid(lanes.pop(key.fd), 0)[1] != 0
                    continue
                *lines, rest = (key.data + data).split(b"\n")
                selector.modify(key.fd, selectors.EVENT_READ, rest)
                for line in lines:
                    tell(Result.of(json.loads(line)))
    if broken:
        raise RuntimeError("a lane of chaos broke down: see above")


def _fork_lane(plan: Plan, position: int, count: int) -> tuple[int, int]:
    """(where its results can be read, its process)."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return reading, pid
    os.close(reading)
    code = 1
    try:
        with os.fdopen(writing, "w", buffering=1) as out, lane.opened(plan.seed, plan.graph) as opened:

            def tell(result: Result) -> None:
                out.write(json.dumps(dataclasses.asdict(result)) + "\n")

            for fault in plan.faults if plan.only is None else (parse_id(plan.only)[0],):
                for result in _results(plan, opened, fault, position, count):
                    tell(result)
        code = 0
    except KeyboardInterrupt:
        pass
    except BaseException:  # noqa: BLE001 - told on stderr
        traceback.print_exc()
    finally:
        os._exit(code)


def _results(plan: Plan, opened: lane.Lane, fault: str, position: int, count: int) -> Iterator[Result]:
    if plan.only:
        yield opened.play(*parse_id(plan.only))
    elif fault == "kill":
        points = len(EVERYWHERE[plan.graph])
        kills, enough = 0, _share(plan.kills, position, count)
        at_least = _share(points, position, count) if plan.kills >= points else 0
        for played, number in enumerate(itertools.count(position, count)):
            if kills >= enough and played >= at_least:
                return
            result = opened.play(fault, number)
            kills += result.struck
            yield result
    else:
        wanted = max(FEWEST_BLOWS, int(plan.kills * BLOWS_PER_KILL)) if fault == "postgres" else plan.runs
        yield from (opened.play(fault, number) for number in _numbers(wanted, position, count))


def _numbers(wanted: int, position: int, count: int) -> Iterable[int]:
    return range(position, wanted, count)


def _share(total: int, position: int, count: int) -> int:
    return len(range(position, total, count))
