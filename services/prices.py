"""What a model call costs, in US dollars: bundled public prices, and those a user gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from genai_prices import Usage, calc_price

PER_MTOK = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars a million tokens."""

    input_per_mtok: float = 0.0
    output_per_mtok: float = 0.0

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What these tokens cost."""
        spent = prompt_tokens * self.input_per_mtok + completion_tokens * self.output_per_mtok
        return spent / PER_MTOK


def parse_prices(text: str) -> dict[str, Price]:
    """Read `NAME=input_per_mtok/output_per_mtok,...`.

    Raises:
        ValueError: a part that does not read so, or a price that is negative or not finite.
    """
    prices: dict[str, Price] = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, _, figures = part.rpartition("=")
        into, _, out = figures.partition("/")
        try:
            price = Price(input_per_mtok=float(into), output_per_mtok=float(out))
        except ValueError:
            price = Price(input_per_mtok=math.nan)
        usable = all(math.isfinite(usd) and usd >= 0 for usd in (price.input_per_mtok, price.output_per_mtok))
        if not name.strip() or not usable:
            raise ValueError(f"NAME=input/output,... in US dollars a million tokens, not {part!r}")
        prices[name.strip()] = price
    return prices


class Prices:
    """Prices by model name; a given one wins over the bundled one (PyPI `genai-prices`)."""

    def __init__(self, given: Mapping[str, Price], *, api_url: str | None = None) -> None:
        """`api_url` is the endpoint asked: a provider known by it sets the price, else OpenAI's list does."""
        self._given, self._api_url = given, api_url

    def known(self, model: str) -> bool:
        """Whether calls to `model` can be priced."""
        return self.usd(model, 1, 1) is not None

    def usd(self, model: str, prompt_tokens: int, completion_tokens: int, *, cached_tokens: int = 0) -> float | None:
        """The cost of one call, or None when no price is known.

        `cached_tokens` are those of the prompt that were read from the provider's cache.
        """
        if price := self._given.get(model):
            return price.usd(prompt_tokens, completion_tokens)
        tokens = Usage(input_tokens=prompt_tokens, cache_read_tokens=cached_tokens, output_tokens=completion_tokens)
        if self._api_url:
            try:
                return float(calc_price(tokens, model, provider_api_url=self._api_url).total_price)
            except LookupError:
                pass  # an endpoint of its own, such as a proxy: priced by the model's name below
        try:
            return float(calc_price(tokens, model, provider_id="openai").total_price)
        except LookupError:
            return None
