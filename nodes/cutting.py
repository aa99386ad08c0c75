"""A result that is too long for its room: cut by relevance, with a handle to the whole."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from graph.results import Results, Whole
from graph.state import newest_request
from nodes.folding import CUT, OPENS
from nodes.pinned import shown
from nodes.results_text import bare, with_text
from nodes.room import Room
from services.cleaning import MAX_CHARS
from services.relevance import cut
from services.tokens import most_of

CUT_HERE = "[Cut to what has to do with the request: {kept:,} of {whole:,} characters.{handle}]"

_LONGER = re.compile(r'\[cut: \d+ more characters; open_result\(handle="(r-[0-9a-f]{12})"\)[^\]\n]{0,100}\]$')
"""Stands at the end of what was already too long for `tools.attempt`: its whole is kept."""

SAME_CHARS = 200
"""How much of a text must stand in a whole that it is a part of: a stranger may name any handle."""

OPEN = ' {tool}(handle="{handle}") opens the rest in parts, or searches in it.'


async def shortened(
    results: Sequence[ToolMessage], history: Sequence[AnyMessage], room: Room, *, store: Results, thread_id: str
) -> list[ToolMessage]:
    """The results, each cut to its room; the wholes are stored first."""
    calls = {call["id"]: call for message in history if isinstance(message, AIMessage) for call in message.tool_calls}
    request = newest_request(history)
    most = room.result_tokens(len(results))
    made: list[ToolMessage] = []
    for result in results:
        text = bare(str(result.text))
        handle = await _handle(Whole(tool=str(result.name), text=text), store, thread_id)
        call = calls.get(result.tool_call_id)
        query = f"{request.text if request else ''} {shown(call['args']) if call else ''}"
        made.append(await asyncio.to_thread(_short, result, text, query, most, handle))
    return made


async def _handle(whole: Whole, store: Results, thread_id: str) -> str | None:
    if thread_id and (longer := _LONGER.search(whole.text)):
        known = await store.opened(thread_id, longer[1])
        if known and known.tool == whole.tool and whole.text[:SAME_CHARS] in known.text:
            return longer[1]
    return whole.handle if thread_id and await store.keep(thread_id, [whole]) else None


def _short(result: ToolMessage, text: str, query: str, most_tokens: int, handle: str | None) -> ToolMessage:
    chars = min(MAX_CHARS, int(len(text) * most_tokens / max(most_of(text), 1)))
    parts = cut(text, query, chars)
    rest = OPEN.format(tool=OPENS, handle=handle) if handle else " The rest is not kept."
    said = CUT_HERE.format(kept=len(parts), whole=len(text), handle=rest)
    return result.model_copy(
        update={
            "content": with_text(str(result.text), parts, said),
            "artifact": {**(result.artifact or {}), CUT: handle},
        }
    )
