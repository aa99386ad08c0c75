"""A result that is too long for its room: cut by relevance, with a handle to the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from graph.results import Results, Whole
from graph.state import newest_request
from nodes.folding import CUT, OPENS
from nodes.openable import handle_of
from nodes.pinned import shown
from nodes.results_text import bare, with_text
from services.cleaning import MAX_CHARS
from services.relevance import cut
from services.tokens import most_of

CUT_HERE = "[Cut to what has to do with the request: {kept:,} of {whole:,} characters.{handle}]"

OPEN = ' {tool}(handle="{handle}") opens the rest in parts, or searches in it.'


async def shortened(
    results: Sequence[tuple[ToolMessage, int]],
    history: Sequence[AnyMessage],
    *,
    store: Results,
    thread_id: str,
    claim: int | None,
) -> list[ToolMessage]:
    """The results, each cut to its number of tokens. The wholes are stored first, if there is a thread to do so for.

    Raises:
        ThreadTaken: see `graph.results.Results.keep`.
    """
    calls = {call["id"]: call for message in history if isinstance(message, AIMessage) for call in message.tool_calls}
    request = newest_request(history)
    made: list[ToolMessage] = []
    for result, most in results:
        text = bare(str(result.text))
        handle = handle_of(result)  # what was too long for its call is kept already
        if handle is None and thread_id:
            whole = Whole(tool=str(result.name), text=text)
            handle = whole.handle if await store.keep(thread_id, [whole], claim=claim) else None
        call = calls.get(result.tool_call_id)
        query = f"{request.text if request else ''} {shown(call['args']) if call else ''}"
        made.append(await asyncio.to_thread(_short, result, text, query, most, handle))
    return made


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
