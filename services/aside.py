"""Where a text is worked on: on the event loop, or in a thread, so that the other runs of the process go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

AT_ONCE_CHARS = 16_000
"""Longest text that is read on the event loop. An ordinary one takes 2 ms there; to hand it to a thread and come back
takes as much again. The most hostile one takes 60 ms, most of it in one search, which stops all threads as well."""


async def aside(work: Callable[[str], T], text: str) -> T:
    """What `work` gives for the text; it takes time in proportion to it."""
    return work(text) if len(text) <= AT_ONCE_CHARS else await asyncio.to_thread(work, text)
