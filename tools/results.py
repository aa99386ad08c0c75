"""Opening again what left the history: in parts of a bounded size, or by words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from graph.errors import ToolFailed
from graph.results import Whole
from services.relevance import passages, scores
from tools.base import Injected, tool

PART_CHARS = 4_000
"""Of a result that is shown at a time, in characters."""

HITS = 8
"""Most passages shown of a search."""

NAMED = 10
"""Handles named when there is none as given."""


@tool(risk="low", untrusted_output=True, idempotent=True, timeout_s=30)
async def open_result(
    context: Injected,
    handle: Annotated[str, Field(max_length=100)] = "",
    part: Annotated[int, Field(ge=1)] = 1,
    search: Annotated[str, Field(max_length=1_000)] = "",
) -> str:
    """Open an earlier result of this conversation that was cut or folded away: a part of it, or what answers a search.

    Args:
        handle: Which result, such as r-0123456789ab. Left out, the search looks in all of them.
        part: Which part of it, from 1.
        search: Words to look for, such as names, ids or amounts.
    """
    handle, search = handle.strip(), search.strip()
    if handle:
        whole = await context.results.opened(context.thread_id, handle) if handle in context.opens else None
        if whole is None:  # of one that another branch of this thread has read, nothing else is said
            raise ToolFailed(f"this conversation has no result {handle!r}: {await _known(context)}")
        return await asyncio.to_thread(_found, [whole], search) if search else _part(whole, part)
    if not search:
        raise ToolFailed(f"give a handle, or words to search for: {await _known(context)}")
    wholes = await context.results.newest(context.thread_id, context.opens)
    return await asyncio.to_thread(_found, wholes, search)


def _part(whole: Whole, part: int) -> str:
    parts = max(1, -(-len(whole.text) // PART_CHARS))
    if part > parts:
        raise ToolFailed(f"{whole.handle} has {parts} part{'s' if parts > 1 else ''}, there is no part {part}")
    start = (part - 1) * PART_CHARS
    return f"{whole.tool}, part {part} of {parts}:\n{whole.text[start : start + PART_CHARS]}"


def _found(wholes: Sequence[Whole], search: str) -> str:
    """The best passages, each with where it stands; the newest result first among equals."""
    pieces = [(whole, at, piece) for whole in wholes for at, piece in _placed(whole)]
    scored = scores([piece for _, _, piece in pieces], search)
    best = sorted((at for at in range(len(pieces)) if scored[at] > 0), key=lambda at: (-scored[at], at))[:HITS]
    if not best:
        return f"Nothing that was kept has any of these words: {search}"
    told: list[str] = []
    left = PART_CHARS
    for at in best:
        whole, start, piece = pieces[at]
        text = f"{whole.handle} ({whole.tool}), part {start // PART_CHARS + 1}:\n{piece.strip()}"
        if told and len(text) > left:
            break
        told.append(text)
        left -= len(text)
    return "\n\n".join(told)


def _placed(whole: Whole) -> list[tuple[int, str]]:
    """Passages, each with the place it begins at."""
    placed: list[tuple[int, str]] = []
    start = 0
    for piece in passages(whole.text):
        placed.append((start, piece))
        start += len(piece)
    return placed


async def _known(context: Injected) -> str:
    wholes = await context.results.newest(context.thread_id, context.opens[-NAMED:])
    newest = ", ".join(f"{whole.handle} ({whole.tool})" for whole in wholes)
    return f"the newest are {newest}" if newest else "there are none yet"
