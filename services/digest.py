"""A summary made without a language model: the newest lines, each cut short."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import BaseMessage, SystemMessage

LINES = 40
LINE_CHARS = 120


def digest(messages: Sequence[BaseMessage]) -> str:
    """The last LINES non-empty lines of what is to be summarized, each cut to LINE_CHARS characters."""
    lines = [
        line.strip()
        for message in messages
        if not isinstance(message, SystemMessage)
        for line in str(message.text).splitlines()
        if line.strip()
    ]
    return "\n".join(line if len(line) <= LINE_CHARS else f"{line[:LINE_CHARS]}…" for line in lines[-LINES:])
