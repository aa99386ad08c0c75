"""Processes of one attempt each, forked from one that has imported everything and opened nothing.

Starting Python and LangGraph takes a second and a half, a fork some milliseconds; what it forks is a process like
any other: its own event loop and connections, and SIGKILL ends it as it ends all.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Self

from app import loop
from evals.chaos.attempt import Job, attempt
from evals.chaos.trap import Trap

Facts = dict[str, Any]


class Child:
    """A process that runs one attempt. Its lines are facts; the end of them is its end."""

    def __init__(self, job: Job, *, point: str | None = None, at: int = 0, lives: bool = False) -> None:
        """`lives`: at its point the process is held, not killed, until `let_go`."""
        if threading.active_count() > 1:
            raise RuntimeError("a process with threads must not be forked")
        sys.stdout.flush()
        sys.stderr.flush()
        lines, out = os.pipe()
        wait, go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(lines)
            os.close(go)
            _play(job, Trap(point=point, at=at), out, wait if lives else None)
        os.close(out)
        os.close(wait)
        self._lines, self._go, self._rest = lines, go, b""
        self.status: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.status is None:
            self.kill()
            self._reap()
        os.close(self._lines)
        os.close(self._go)

    def facts(self, until: float) -> Iterator[Facts]:
        """What it tells, until it has ended, or until `time.monotonic()` is past `until`."""
        while self.status is None and (left := until - time.monotonic()) > 0:
            if not select.select([self._lines], [], [], left)[0]:
                return
            data = os.read(self._lines, 65_536)
            if not data:
                self._reap()
                return
            *whole, self._rest = (self._rest + data).split(b"\n")
            yield from map(json.loads, whole)

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """It goes on from the point it is held at."""
        os.write(self._go, b".")

    @property
    def killed(self) -> bool:
        """Whether it ended by SIGKILL."""
        return self.status is not None and os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    def _reap(self) -> None:
        _, self.status = os.waitpid(self.pid, 0)


def apart(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine in a process of its own, so that this one stays without an event loop.

    Raises:
        RuntimeError: it failed; its traceback is on stderr.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            loop.run(main())
            code = 0
        except Exception:  # noqa: BLE001 - told on stderr
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("a process of the suite failed: see above")


def _play(job: Job, trap: Trap, out: int, held: int | None) -> None:
    """In the child: never returns, and runs nothing that the parent left to be done at its exit."""
    code = 1
    try:

        def tell(**facts: Any) -> None:
            data = (json.dumps(facts, default=str) + "\n").encode()
            while data:
                data = data[os.write(out, data) :]

        trap.spring = _springs(tell, trap, held)
        try:
            loop.run(attempt(job, trap, tell))
            code = 0
        except Exception as error:  # noqa: BLE001 - told to the parent, which judges it
            tell(error=[type(error).__name__, " ".join(str(error).split())[:300]])
    finally:
        os._exit(code)


def _springs(tell: Callable[..., None], trap: Trap, held: int | None) -> Callable[[], None]:
    def spring() -> None:
        tell(sprung=trap.point, asked=trap.asked)
        if held is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            os.read(held, 1)

    return spring
