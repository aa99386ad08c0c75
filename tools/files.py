"""Files of the workspace."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from graph.errors import ToolFailed
from tools import paths
from tools.base import Injected, tool

MAX_LISTED = 500


@tool(risk="low", untrusted_output=False, idempotent=True)
async def list_files(context: Injected) -> str:
    """List the files of the workspace, one path a line."""
    found = await asyncio.to_thread(paths.files, context.workspace)
    more = [f"[{len(found) - MAX_LISTED} more]"] if len(found) > MAX_LISTED else []
    return "\n".join(found[:MAX_LISTED] + more) or "the workspace is empty"


@tool(risk="low", untrusted_output=True, idempotent=True)
async def read_file(path: str, context: Injected) -> str:
    """Read a text file of the workspace.

    Args:
        path: Path relative to the workspace.
    """
    return await asyncio.to_thread(paths.read_text, context.workspace, path)


@tool(risk="medium", untrusted_output=False, idempotent=True, reason="changes a file of the workspace")
async def write_file(path: str, text: str, context: Injected) -> str:
    """Write a text file of the workspace; an existing one is replaced.

    Args:
        path: Path relative to the workspace.
        text: The whole new content.
    """
    await asyncio.to_thread(_replace, context.workspace, path, text)
    return f"wrote {len(text)} characters to {path}"


def _replace(workspace: Path, path: str, text: str) -> None:
    """All or nothing: written beside the file, then renamed over it."""
    target = paths.inside(workspace, path)
    try:
        if target.is_dir():
            raise ToolFailed(f"{path!r} is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=target.parent, prefix=".ballast-")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        Path(beside).replace(target)
    except OSError as error:
        raise ToolFailed(f"can't write {path!r}: {error.strerror}") from None
