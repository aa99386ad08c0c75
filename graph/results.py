"""Tool results that left the history, or never stood in it whole, and can be opened again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

WHOLE_CHARS = 5_000_000
"""Longest result kept whole, in characters; what lies beyond is lost, and the result says how much that was."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A result as it was before it was folded or cut."""

    tool: str
    text: str
    """Of text from outside what a reader sees of it, or its raw form: whoever opens it cleans it again."""

    @property
    def handle(self) -> str:
        """Its name within its thread. It follows from what it holds: branches of a thread can't mix up theirs."""
        return "r-" + hashlib.sha256(f"{self.tool}\0{self.text}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


@runtime_checkable  # pydantic checks the context a tool is handed
class Results(Protocol):
    """What threads can open again. `checkpoints/results.py`."""

    async def keep(self, thread_id: str, wholes: Sequence[Whole], *, claim: int | None) -> bool:
        """Store them for this thread, those it has already but once. False when nothing is kept here.

        Raises:
            ThreadTaken: another process has taken over the thread, or it was deleted; nothing was stored.
        """
        ...

    async def opened(self, thread_id: str, handle: str) -> Whole | None:
        """One of this thread's own; None when it has none of that name."""
        ...

    async def newest(self, thread_id: str, handles: Sequence[str]) -> Sequence[Whole]:
        """Of the thread's own those named, of which the last comes first, as far as memory allows."""
        ...


class NothingKept:
    """Results where none can be opened again, as in a run without a thread."""

    async def keep(self, thread_id: str, wholes: Sequence[Whole], *, claim: int | None) -> bool:
        """Keep none."""
        del thread_id, wholes, claim
        return False

    async def opened(self, thread_id: str, handle: str) -> Whole | None:
        """There is none."""
        del thread_id, handle
        return None

    async def newest(self, thread_id: str, handles: Sequence[str]) -> Sequence[Whole]:
        """There are none."""
        del thread_id, handles
        return ()
