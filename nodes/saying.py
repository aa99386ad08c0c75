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
    said = _safe(message.content, judge)
    return message if said == message.content else message.model_copy(update={"content": said})


def safe_words(text: str, judge: Judge) -> str:
    """The same of a text."""
    if not judge.outside:
        return text
    return defused(text, lambda address: judge.trusted.origin(address) is not None)


def _safe(content: Any, judge: Judge) -> Any:
    """The same of content in parts: a page may show any of them, words, thoughts or an image's address."""
    if isinstance(content, str):
        return safe_words(content, judge)
    if isinstance(content, list):
        return [_safe(part, judge) for part in content]
    if isinstance(content, dict):
        return {name: _safe(part, judge) for name, part in content.items()}
    return content
