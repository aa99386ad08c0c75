"""`ballast results`: the raw texts that tools gave, for a person to read."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.session import AsJson, emit, with_services
from graph.errors import NotFound

if TYPE_CHECKING:
    from app.lifespan import Opened

Handle = Annotated[str | None, typer.Argument(metavar="[HANDLE]", help="Which to read; without it all are listed.")]


def results(
    thread: Annotated[str, typer.Argument(metavar="THREAD_ID")],
    handle: Handle = None,
    as_json: AsJson = False,
) -> None:
    """Raw texts of THREAD_ID that are kept apart from the model, the newest last; with HANDLE the text of one.

    Nothing in a text acts on the terminal: what would, or does not show, is spelt out. With --json it is exact.
    """
    from app.show import table

    async def do(services: Opened) -> Any:
        if handle is None:
            return await _listed(services, thread)
        return await _opened(services, thread, handle)

    found = with_services(do)
    if as_json:
        print(json.dumps(found))  # in ASCII: a terminal would obey some of what else JSON may hold
    elif handle is None:
        emit(found, as_json, table("handle", "tool", "characters", "created_at"))
    else:
        _show(found)


async def _listed(services: Opened, thread: str) -> list[dict[str, Any]]:
    rows = await services.results.listed(thread)
    if not rows:
        await _known(services, thread)
    return [
        {"handle": row.handle, "tool": row.tool, "characters": row.chars, "created_at": row.created_at.isoformat()}
        for row in rows
    ]


async def _opened(services: Opened, thread: str, handle: str) -> dict[str, Any]:
    from app.person import person

    whole = await services.results.opened(thread, handle)
    if whole is None:
        await _known(services, thread)
        raise NotFound("result", handle, f"see 'ballast results {thread}'")
    await services.audit.opened(thread, whole, by=person())
    return {
        "thread_id": thread,
        "handle": handle,
        "tool": whole.tool,
        "characters": len(whole.text),
        "text": whole.text,
    }


async def _known(services: Opened, thread: str) -> None:
    """Refuse a thread that is not there."""
    from app.runs import Runs
    from app.show import progress

    await Runs(opened=services, progress=progress()).known(thread)


def _show(found: dict[str, Any]) -> None:
    """The text on stdout, what it is on stderr: piped on, nothing of ours stands in it."""
    from app.visible import count_hiding, visible, visible_text

    text = found["text"].replace("\r\n", "\n")
    spelt = count_hiding(text)
    told = f"; {spelt:,} that would not show are spelt out, such as \\x1b or \\u202e" if spelt else ""
    print(f"{found['handle']}  {visible(found['tool'])}: {found['characters']:,} characters{told}", file=sys.stderr)
    print(visible_text(text))
