"""Work of one step, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def all_ended(work: Iterable[Awaitable[T]]) -> list[T]:
    """What each gave, in this order; the first error is raised when all have come to their end.

    None goes on behind the node's back, also when one of them can't be recorded.
    """
    given: list[T] = []
    for one in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(one, BaseException):
            raise one
        given.append(one)
    return given
