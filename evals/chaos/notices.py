"""An effect in the world that nothing can check: a line on a notice board, posted twice when called twice."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from tools.base import Injected, tool

BOARD = "notices.jsonl"


@tool(risk="low", untrusted_output=False, idempotent=False)
async def post_notice(text: str, context: Injected) -> str:
    """Post a notice for everyone.

    Args:
        text: What it says.
    """
    await asyncio.to_thread(_append, context.workspace / BOARD, context.idempotency_key, text)
    return f"posted: {text}"


def _append(board: Path, key: str, text: str) -> None:
    line = json.dumps([key, text]) + "\n"
    opened = os.open(board, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(opened, line.encode())
    finally:
        os.close(opened)


def posted(workspace: Path) -> list[tuple[str, str]]:
    """(idempotency key, text) of every line on the board."""
    board = workspace / BOARD
    if not board.exists():
        return []
    return [(key, text) for key, text in map(json.loads, board.read_text().splitlines())]
