"""How many tokens a prompt takes at most, before anyone has counted it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, InputTokenDetails, UsageMetadata
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

PER_MESSAGE = 8
"""Tokens around a message: its role and delimiters."""

WORD_CHARS, OTHER_ASCII, BEYOND_ASCII = 1 / 3, 2 / 3, 3 / 2
"""Tokens a character. Common encodings take a quarter for English words, a half for digits and punctuation, and about
one for other scripts; these are rounded up."""

DENSE = 0.9
"""Tokens a character of long runs without spaces: keys, hashes, base64. Of rarer scripts and emoji each byte counts as
one: a byte is never more."""

_RUN = re.compile(r"[A-Za-z0-9+/=_-]{24,}")
_COMMON = re.compile(
    r"[\u00a0-\u052f\u0590-\u06ff\u0900-\u097f\u2010-\u203f\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7af\uff00-\uffef]"
)

HIGHEST_FACTOR = 4.0
"""Beyond it a provider's count is no count."""

ABOVE = 1.02
"""How far above a provider's own count later estimates are put."""


MOST_TOLD = 1_000_000_000
"""Tokens of one call beyond which a provider's figure is no count."""


@dataclass(kw_only=True)
class PromptCount:
    """An upper estimate; it rises when a provider counts more than was estimated, and never falls."""

    factor: float = 1.0

    def most(self, messages: Sequence[BaseMessage], tool_tokens: float = 0) -> int:
        """Most tokens of a prompt; `tool_tokens` as `of_tools` counts them."""
        tokens = tool_tokens + sum(PER_MESSAGE + most_of(text_of(message)) for message in messages)
        return math.ceil(tokens * self.factor)

    def learn(self, estimated: int, counted: int) -> None:
        """Take in what the provider counted for a prompt that was estimated."""
        if counted > estimated > 0:
            self.factor = min(HIGHEST_FACTOR, self.factor * counted / estimated * ABOVE)


def of_tools(tools: Sequence[BaseTool]) -> float:
    """Most tokens of the tools a prompt offers, in the form providers take them."""
    return sum(PER_MESSAGE + most_of(json.dumps(convert_to_openai_tool(tool))) for tool in tools)


def told(usage: UsageMetadata | None) -> bool:
    """Whether a provider's figures can be what the call took: some proxies send zeros, others nonsense."""
    return usage is not None and _a_count(usage["input_tokens"]) and _a_count(usage["output_tokens"])


def usage_of_reply(message: AIMessage, *, prompt_tokens: int) -> UsageMetadata:
    """What the provider counted; a figure that it left out or that can't be is estimated from above.

    `prompt_tokens` is the upper estimate of the prompt.
    """
    usage = message.usage_metadata
    into = usage["input_tokens"] if usage and _a_count(usage["input_tokens"]) else prompt_tokens
    out = usage["output_tokens"] if usage and _a_count(usage["output_tokens"]) else math.ceil(most_of(text_of(message)))
    counted = UsageMetadata(input_tokens=into, output_tokens=out, total_tokens=into + out)
    cached = usage.get("input_token_details", {}).get("cache_read", 0) if usage else 0
    if _a_count(cached) and cached <= into:
        counted["input_token_details"] = InputTokenDetails(cache_read=cached)
    return counted


def _a_count(figure: object) -> bool:
    return isinstance(figure, int) and 0 < figure <= MOST_TOLD


def most_of(text: str) -> float:
    """Most tokens of a text."""
    common = rare_bytes = 0
    if not text.isascii():
        beyond = "".join(character for character in text if character > "\x7f")
        rare = _COMMON.sub("", beyond)
        rare_bytes = len(rare.encode("utf-8", "surrogatepass"))
        common = len(beyond) - len(rare)
        text = "".join(character for character in text if character <= "\x7f")
    dense = sum(len(run) for run in _RUN.findall(text))
    text = _RUN.sub("", text) if dense else text
    words = sum(map(text.count, " etaoinshrdlucmfwypvbgkjqxz"))
    plain = words * WORD_CHARS + (len(text) - words) * OTHER_ASCII
    return plain + common * BEYOND_ASCII + dense * DENSE + rare_bytes


def text_of(message: BaseMessage) -> str:
    """All of a message that a provider counts."""
    content = message.content if isinstance(message.content, str) else json.dumps(message.content, default=str)
    calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
    return content + "".join(f"{call['name']}{call['id']}{json.dumps(call['args'])}" for call in calls)
