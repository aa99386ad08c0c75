"""How many tokens a prompt takes at most, before anyone has counted it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

PER_MESSAGE = 8
"""Tokens around a message: its role and delimiters."""

WORD_CHARS, OTHER_ASCII, BEYOND_ASCII = 1 / 3, 2 / 3, 3 / 2
"""Tokens a character. Common encodings take a quarter for English words, a half for digits and punctuation, and about
one for other scripts; these are rounded up."""

ABOVE = 1.02
"""How far above a provider's own count later estimates are put."""


@dataclass(kw_only=True)
class PromptCount:
    """An upper estimate; it rises when a provider counts more than was estimated, and never falls."""

    factor: float = 1.0

    def most(self, messages: Sequence[BaseMessage], tool_tokens: float = 0) -> int:
        """Most tokens of a prompt; `tool_tokens` as `of_tools` counts them."""
        tokens = tool_tokens + sum(PER_MESSAGE + _of_text(_text(message)) for message in messages)
        return math.ceil(tokens * self.factor)

    def learn(self, estimated: int, counted: int) -> None:
        """Take in what the provider counted for a prompt that was estimated."""
        if counted > estimated > 0:
            self.factor *= counted / estimated * ABOVE


def of_tools(tools: Sequence[BaseTool]) -> float:
    """Most tokens of the tools a prompt offers, in the form providers take them."""
    return sum(PER_MESSAGE + _of_text(json.dumps(convert_to_openai_tool(tool))) for tool in tools)


def _of_text(text: str) -> float:
    beyond = sum(character > "\x7f" for character in text) if not text.isascii() else 0
    words = sum(map(text.count, " etaoinshrdlucmfwypvbgkjqxz"))
    return words * WORD_CHARS + beyond * BEYOND_ASCII + (len(text) - words - beyond) * OTHER_ASCII


def _text(message: BaseMessage) -> str:
    content = message.content if isinstance(message.content, str) else json.dumps(message.content, default=str)
    calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
    return content + "".join(f"{call['name']}{call['id']}{json.dumps(call['args'])}" for call in calls)
