"""What the agent says to people, once it has read what a stranger wrote: no address of a stranger's is a link in it."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage

from nodes.provenance import Judge
from services.links import defused


def safely_said(message: AIMessage, judge: Judge) -> AIMessage:
    """The message as clients may show it. Its calls are judged elsewhere."""
    if not judge.outside:
        return message
    content = message.content
    said = _defused(content, judge) if isinstance(content, str) else [_part(one, judge) for one in content]
    return message if said == content else message.model_copy(update={"content": said})


def _part(part: Any, judge: Judge) -> Any:
    if isinstance(part, str):
        return _defused(part, judge)
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": _defused(part["text"], judge)}
    return part


def _defused(text: str, judge: Judge) -> str:
    return defused(text, lambda address: judge.trusted.origin(address) is not None)
