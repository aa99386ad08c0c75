"""The members a model chain can have: how each is built, asked and priced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, UsageMetadata
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from graph.budget import Left, Spent
from graph.errors import BadSetting
from graph.models import Question
from services.faults import started, usage_of, whole
from services.offline import OfflineModel
from services.prices import Price, Prices
from services.script_file import Tokens
from services.scripted import ScriptedModel
from services.settings import Settings
from services.streamed import ended_once, with_broken_calls_apart
from services.tokens import PromptCount, of_tools, usage_of_reply

if TYPE_CHECKING:
    from services.openai_model import OpenAIModels

FORMS = "openai:NAME, scripted:FILE.yaml, offline"

LEAST_REPLY = 256
"""Tokens of the shortest reply worth asking for, unless shorter ones are asked for anyway."""

KEPT_BINDINGS = 8
"""Tool sets bound to a member at a time. Converting tools to a provider's form takes milliseconds."""


class Foretelling(Protocol):
    """A model that makes no secret of what a reply will cost."""

    def foretold(self, messages: Sequence[BaseMessage], **told: Any) -> Tokens:
        """The tokens the reply to these messages will count as."""
        ...

    def by_rule(self, messages: Sequence[BaseMessage], **told: Any) -> AIMessage | None:
        """The reply, where no model is behind it at all: it costs nothing and counts as no call."""
        ...


@dataclass(kw_only=True)
class Member:
    """One model of a chain, ready to be asked."""

    name: str
    model: BaseChatModel
    usd: Callable[[UsageMetadata], float]
    timeout_s: float | None = None
    """Longest one attempt may take."""
    foretelling: Foretelling | None = None
    """The model itself, when it knows its replies beforehand and is told role and turn."""
    count: PromptCount = field(default_factory=PromptCount)
    _bound: dict[tuple[int, ...], Binding] = field(default_factory=dict)
    """By the identity of the tools, which are kept in it so that no identity is used twice."""

    def worst(self, question: Question, left: Left) -> Spent:
        """What asking may cost at most: the prompt, and a reply as long as is allowed and as the limits pay for.

        A reply below LEAST_REPLY is not worth its prompt: then the worst case is one that does not fit.
        """
        if self.foretelling:
            tokens = self.foretelling.foretold(question.messages, **self._told(question))
            return self.spent(_usage(tokens.input_tokens, tokens.output_tokens))
        prompt = self.count.most(question.messages, self._binding(question.tools).tool_tokens)
        reply = min(question.max_reply_tokens, left.tokens - prompt)
        usd, usd_of_prompt = self.usd(_usage(prompt, max(reply, 0))), self.usd(_usage(prompt, 0))
        if usd > left.usd:
            reply = int(reply * max(left.usd - usd_of_prompt, 0) / (usd - usd_of_prompt)) if usd > usd_of_prompt else 0
        return self.spent(_usage(prompt, max(reply, min(LEAST_REPLY, question.max_reply_tokens))))

    def by_rule(self, question: Question) -> AIMessage | None:
        """See `Foretelling.by_rule`."""
        return self.foretelling.by_rule(question.messages, **self._told(question)) if self.foretelling else None

    def spent(self, usage: UsageMetadata) -> Spent:
        """One call with this usage."""
        return Spent(
            prompt_tokens=usage["input_tokens"], completion_tokens=usage["output_tokens"], cost_usd=self.usd(usage)
        )

    def usage(self, message: AIMessage, worst: Spent) -> UsageMetadata:
        """What a reply is charged for, whatever its provider says."""
        if self.foretelling and message.usage_metadata:
            return message.usage_metadata
        return usage_of_reply(message, prompt_tokens=worst.prompt_tokens)

    def spent_on(self, error: Exception, worst: Spent) -> Spent:
        """What a failed call is charged. What a provider may have charged for without saying, at its worst."""
        if usage := usage_of(error):
            return self.spent(usage)
        return worst if started(error) and not self.foretelling else Spent()

    async def ask(self, question: Question, *, reply_tokens: int) -> AIMessage:
        """The model's reply, of at most `reply_tokens`.

        Raises:
            Exception: whatever the provider's client raises; TimeoutError; CutStream.
        """
        told = self._told(question) if self.foretelling else {"max_tokens": reply_tokens}
        try:
            async with asyncio.timeout(self.timeout_s):
                message = await self._binding(question.tools).runnable.ainvoke(list(question.messages), **told)
        except TimeoutError as error:
            if self.timeout_s is None:
                raise
            raise TimeoutError(f"no whole reply within {self.timeout_s:g} s") from error
        return with_broken_calls_apart(ended_once(whole(message)))

    def _told(self, question: Question) -> dict[str, Any]:
        return {"role": question.role, "turn": question.turn, "subtask": question.subtask}

    def _binding(self, tools: Sequence[BaseTool]) -> Binding:
        key = tuple(map(id, tools))
        if key not in self._bound:
            if len(self._bound) >= KEPT_BINDINGS:
                del self._bound[next(iter(self._bound))]
            self._bound[key] = Binding(
                tools=tuple(tools),
                runnable=self.model.bind_tools(tools) if tools else self.model,
                tool_tokens=of_tools(tools),
            )
        return self._bound[key]


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A model with the tools it is offered."""

    tools: tuple[BaseTool, ...]
    runnable: Runnable[Any, AIMessage]
    tool_tokens: float


def _usage(prompt: int, completion: int) -> UsageMetadata:
    return UsageMetadata(input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion)


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
            offline = OfflineModel()
            return Member(name=name, model=offline, usd=_usd_at(Price()), foretelling=offline)
        if kind == "scripted" and rest:
            script = ScriptedModel.from_file(Path(rest))
            price = Price(**script.script.price.model_dump())
            return Member(name=name, model=script, usd=_usd_at(price), foretelling=script)
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

        def usd(usage: UsageMetadata) -> float:
            cached = usage.get("input_token_details", {}).get("cache_read", 0)
            known = prices.usd(model, usage["input_tokens"], usage["output_tokens"], cached_tokens=cached)
            assert known is not None  # noqa: S101 - asked above
            return known

        built = self._openai_models.model(model)
        return Member(name=name, model=built, usd=usd, timeout_s=settings.openai_timeout)


def _usd_at(price: Price) -> Callable[[UsageMetadata], float]:
    return lambda usage: price.usd(usage["input_tokens"], usage["output_tokens"])
