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
    said = safe_words(content, judge) if isinstance(content, str) else [_part(one, judge) for one in content]
    return message if said == content else message.model_copy(update={"content": said})


def safe_words(text: str, judge: Judge) -> str:
    """The same of a text."""
    if not judge.outside:
        return text
    return defused(text, lambda address: judge.trusted.origin(address) is not None)


def _part(part: Any, judge: Judge) -> Any:
    if isinstance(part, str):
        return safe_words(part, judge)
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": safe_words(part["text"], judge)}
    return part
