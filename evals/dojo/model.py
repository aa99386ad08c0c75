"""The worst-case model of all runs under way: the chain's name says which run asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from langchain_core.messages import AIMessage

from graph.budget import Budget
from graph.errors import BadSetting
from graph.models import Question, Reply

CHAIN = "worst-case:"
"""How its chains are named; the thread's id follows."""


class Script(Protocol):
    """What one run's model does."""

    def reply(self, question: Question) -> AIMessage:
        """Its answer."""
        ...


@dataclass(kw_only=True)
class WorstCase:
    """Implements `graph.models.Models`, and what `Opened` asks of a chain. It costs nothing."""

    scripts: dict[str, Script] = field(default_factory=dict)
    """By thread."""

    def check(self, chain: str) -> None:
        """Refuse a chain of no run of ours.

        Raises:
            BadSetting: see above.
        """
        if chain.removeprefix(CHAIN) not in self.scripts:
            raise BadSetting(f"{chain} plays no run of this eval")

    async def complete(self, chain: str, question: Question, *, budget: Budget, first: int = 0) -> Reply:  # noqa: ARG002 - the protocol's
        """See `graph.models.Models.complete`."""
        return Reply(message=self.scripts[chain.removeprefix(CHAIN)].reply(question), model=chain)

    def usd(self, chain: str, prompt_tokens: int, completion_tokens: int) -> float:  # noqa: ARG002 - the protocol's
        """See `graph.models.Models.usd`."""
        return 0.0
