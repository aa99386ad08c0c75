"""Files of the workspace."""

from __future__ import annotations

import asyncio

from graph.errors import ToolFailed
from tools import delivery, letters, paths
from tools.base import Injected, tool
from tools.listings import Listing

MAX_LISTED = 500
MAIL_FOLDERS = ((letters.MAILBOX,), (delivery.OUTBOX,))


@tool(risk="low", untrusted_output=True, idempotent=True, extract=Listing)  # whoever saved a file chose its name
async def list_files(context: Injected) -> str:
    """List the files of the workspace, one path a line."""
    found = await asyncio.to_thread(paths.files, context.workspace)
    lines = [name.encode("unicode_escape").decode() if not name.isprintable() else name for name in found[:MAX_LISTED]]
    more = [f"[{len(found) - MAX_LISTED} more]"] if len(found) > MAX_LISTED else []
    return "\n".join(lines + more) or "the workspace is empty"


@tool(risk="low", untrusted_output=True, idempotent=True)
async def read_file(path: str, context: Injected) -> str:
    """Read a text file of the workspace.

    Args:
        path: Path relative to the workspace.
    """
    return await asyncio.to_thread(paths.read_text, context.workspace, path)


@tool(
    risk="medium",
    untrusted_output=False,
    idempotent=True,
    reason="changes a file of the workspace",
    content=("text",),
)
async def write_file(path: str, text: str, context: Injected) -> str:
    """Write a text file of the workspace; an existing one is replaced.

    Args:
        path: Path relative to the workspace.
        text: The whole new content.
    """
    found = await asyncio.to_thread(paths.inside, context.workspace, path)
    if found.relative_to(await asyncio.to_thread(context.workspace.resolve)).parts[:1] in MAIL_FOLDERS:
        raise ToolFailed(f"{path!r} is among the mails: only send_email writes there")
    data = text.encode("utf-8", "backslashreplace")  # a lone surrogate is shown, not refused
    await asyncio.to_thread(paths.write_bytes, context.workspace, path, data)
    return f"wrote {len(text)} characters to {path}"
