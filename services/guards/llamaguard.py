"""LlamaGuard, asked through any endpoint that speaks OpenAI's protocol and applies the model's own template."""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from graph.budget import Budget
from graph.guards import Allowed, Denied, Seen, Verdict
from graph.models import Models, Question
from services.unstreamed import unstreamed

VERDICT_TOKENS = 64
"""Of the longest verdict: `unsafe` and a line of categories."""

_CATEGORIES = re.compile(r"S\d{1,2}(?:\s*,\s*S\d{1,2}){0,30}")


class LlamaGuard:
    """Answers `safe`, or `unsafe` and a line of categories. All else is unsafe: the text may have it say anything."""

    def __init__(self, models: Models, chain: str) -> None:
        self._models, self._chain = models, chain

    async def check(self, seen: Seen, *, budget: Budget) -> Verdict:
        """See `graph.guards.Guard.check`.

        Raises:
            ModelFailed: the endpoint gave no answer.
            LimitReached: the budget leaves no room to ask.
        """
        question = Question(messages=_conversation(seen), max_reply_tokens=VERDICT_TOKENS)
        with unstreamed():
            reply = await self._models.complete(self._chain, question, budget=budget)
        return verdict_in(str(reply.message.text))


def verdict_in(answer: str) -> Verdict:
    """The verdict an answer stands for."""
    word, _, rest = answer.strip().partition("\n")
    if answer.strip() == "safe":
        return Allowed()
    if word.strip() != "unsafe":
        return Denied("its answer is neither safe nor unsafe")
    categories = _CATEGORIES.fullmatch(rest.strip())
    return Denied(f"unsafe: {categories.group()}" if categories else "unsafe")


def _conversation(seen: Seen) -> Sequence[BaseMessage]:
    if seen.said_by_us:  # the model judges the last message by who says it
        return [HumanMessage(seen.request or "-"), AIMessage(seen.text)]
    return [HumanMessage(seen.text)]
