"""How much a model can read at a time."""

from __future__ import annotations

from functools import lru_cache

from genai_prices.data_snapshot import get_snapshot

MOST_TOKENS = 128_000
"""The window of a model of which nothing is known, and the most used of a larger one unless a setting says more: what
stands in a prompt is paid for at every call."""


@lru_cache(maxsize=256)
def window_of(chain: str) -> int:
    """The context window, in tokens, of the smallest model of a chain: any of them may be asked.

    From the bundled data of PyPI `genai-prices`; at most MOST_TOKENS. Nothing is fetched.
    """
    return min(map(_window, chain.split(",")))


def _window(member: str) -> int:
    kind, _, name = member.strip().partition(":")
    if kind != "openai" or not name:
        return MOST_TOKENS
    for provider in ("openai", None):
        try:
            _, model = get_snapshot().find_provider_model(name, None, provider, None)
        except LookupError:
            continue
        return min(model.context_window or MOST_TOKENS, MOST_TOKENS)
    return MOST_TOKENS
