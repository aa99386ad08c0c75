"""What lists of runs are made of."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from graph.state import Outcome, Totals


class RunRecords(Protocol):
    """What lists of runs show. `checkpoints/runs.py`. The state is the authority; this is a copy for lists."""

    async def begun(self, thread_id: str, *, graph: str, sender: str, task: str | None) -> None:
        """A run begins, or goes on when `task` is None: then it stays its requester's."""
        ...

    async def graph(self, thread_id: str) -> str | None:
        """The graph of the thread's last request; None when no run of it is known."""
        ...

    async def stands(self, thread_id: str, outcome: Outcome | None, totals: Totals) -> None:
        """How the run ended, or what it waits for, and what all runs of the thread have spent."""
        ...

    async def cancelled(self, thread_id: str) -> None:
        """The run was ended from outside."""
        ...


class Watch(Protocol):
    """The writes of a thread since it is watched. `checkpoints/watch.py`."""

    async def landed(self) -> None:
        """Wait until all that were begun are stored.

        Raises:
            Exception: what kept one from being stored.
        """
        ...


class Writes(Protocol):
    """What becomes of results that LangGraph stores as they come. `checkpoints/saver.py`."""

    def watched(self, thread_id: str) -> AbstractContextManager[Watch]:
        """Watch the writes of a thread that this process runs."""
        ...


class Unstored:
    """Writes of runs that nothing stores."""

    def watched(self, thread_id: str) -> AbstractContextManager[Unstored]:  # noqa: ARG002 - as the protocol has it
        """There are none."""
        return nullcontext(self)

    async def landed(self) -> None:
        """At once."""
