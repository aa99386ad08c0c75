"""The members a model chain can have: how each is built, asked and priced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, UsageMetadata
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from graph.context import Role
from graph.errors import BadSetting
from services.faults import whole
from services.offline import OfflineModel
from services.prices import Price, Prices
from services.scripted import ScriptedModel
from services.settings import Settings
from services.streamed import with_broken_calls_apart

if TYPE_CHECKING:
    from services.openai_model import OpenAIModels

FORMS = "openai:NAME, scripted:FILE.yaml, offline"

KEPT_BINDINGS = 8
"""Tool sets bound to a member at a time. Converting tools to a provider's form takes milliseconds."""


@dataclass(kw_only=True)
class Member:
    """One model of a chain, ready to be asked."""

    name: str
    model: BaseChatModel
    usd: Callable[[UsageMetadata], float | None]
    timeout_s: float | None = None
    """Longest one call may take, retries included."""
    plays_turns: bool = False
    """A script: told which turn it is."""
    knows_roles: bool = False
    """Answers the summarizer's question without a language model."""
    _bound: dict[tuple[int, ...], tuple[Sequence[BaseTool], Runnable[Any, AIMessage]]] = field(default_factory=dict)
    """By the identity of the tools, which are kept beside so that no identity is used twice."""

    async def ask(
        self, messages: Sequence[BaseMessage], *, tools: Sequence[BaseTool], role: Role, turn: int
    ) -> AIMessage:
        """The model's reply.

        Raises:
            Exception: whatever the provider's client raises; TimeoutError; CutStream.
        """
        told: dict[str, Any] = {"role": role} if self.knows_roles else {}
        if self.plays_turns:
            told["turn"] = turn
        try:
            async with asyncio.timeout(self.timeout_s):
                message = await self._runnable(tools).ainvoke(list(messages), **told)
        except TimeoutError as error:
            raise TimeoutError(f"no whole reply within {self.timeout_s:g} s") from error
        return with_broken_calls_apart(whole(message))

    def _runnable(self, tools: Sequence[BaseTool]) -> Runnable[Any, AIMessage]:
        if not tools:
            return self.model
        key = tuple(map(id, tools))
        if key not in self._bound:
            if len(self._bound) >= KEPT_BINDINGS:
                del self._bound[next(iter(self._bound))]
            self._bound[key] = (tuple(tools), self.model.bind_tools(tools))
        return self._bound[key][1]


class Builder:
    """Makes members; those of one provider share its connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prices = Prices(settings.prices, api_url=settings.openai_base_url)
        self._openai_models: OpenAIModels | None = None

    def build(self, name: str) -> Member:
        """The member called `name` in a chain.

        Raises:
            BadSetting: no such form, no key, no known price, or a script that does not hold.
        """
        kind, _, rest = name.partition(":")
        if name == "offline":
            return Member(name=name, model=OfflineModel(), usd=_usd_at(Price()), knows_roles=True)
        if kind == "scripted" and rest:
            script = ScriptedModel.from_file(Path(rest))
            price = Price(**script.script.price.model_dump())
            return Member(name=name, model=script, usd=_usd_at(price), plays_turns=True, knows_roles=True)
        if kind == "openai" and rest:
            return self._openai(name, rest)
        raise BadSetting(f"unknown model {name!r} in BALLAST_MODEL (or --model): the forms are {FORMS}")

    async def aclose(self) -> None:
        """Close what the members are connected to."""
        if self._openai_models:
            await self._openai_models.aclose()

    def _openai(self, name: str, model: str) -> Member:
        settings, prices = self._settings, self._prices
        if settings.openai_api_key is None:
            raise BadSetting(f"model {name} needs OPENAI_API_KEY; without a key: {FORMS.split(', ', 1)[1]}")
        if not prices.known(model):
            raise BadSetting(
                f"no price is known for model {name}, so its cost can't be bounded: "
                f"give it in USD a million tokens, BALLAST_PRICES='{model}=INPUT/OUTPUT'"
            )
        if self._openai_models is None:
            from services.openai_model import OpenAIModels  # noqa: PLC0415 - a second to import: only when used

            self._openai_models = OpenAIModels(
                key=settings.openai_api_key,
                base_url=settings.openai_base_url,
                timeout_s=settings.openai_timeout,
            )

        def usd(usage: UsageMetadata) -> float | None:
            cached = usage.get("input_token_details", {}).get("cache_read", 0)
            return prices.usd(model, usage["input_tokens"], usage["output_tokens"], cached_tokens=cached)

        built = self._openai_models.model(model)
        return Member(name=name, model=built, usd=usd, timeout_s=settings.openai_timeout)


def _usd_at(price: Price) -> Callable[[UsageMetadata], float]:
    return lambda usage: price.usd(usage["input_tokens"], usage["output_tokens"])
