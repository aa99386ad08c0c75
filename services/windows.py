"""How much a model can read at a time."""

from __future__ import annotations

from functools import lru_cache

from genai_prices.data_snapshot import get_snapshot

UNKNOWN_TOKENS = 128_000
"""The window of a model of which nothing is known."""


@lru_cache(maxsize=256)
def window_of(chain: str) -> int:
    """The context window, in tokens, of the smallest model of a chain: any of them may be asked.

    From the bundled data of PyPI `genai-prices`; UNKNOWN_TOKENS where that has none. Nothing is fetched.
    """
    return min(map(_window, chain.split(",")))


def _window(member: str) -> int:
    kind, _, name = member.strip().partition(":")
    if kind != "openai" or not name:
        return UNKNOWN_TOKENS
    for provider in ("openai", None):
        try:
            _, model = get_snapshot().find_provider_model(name, None, provider, None)
        except LookupError:
            continue
        return model.context_window or UNKNOWN_TOKENS
    return UNKNOWN_TOKENS
