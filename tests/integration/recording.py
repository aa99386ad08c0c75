"""Model chains that look on, or play messages a script can't hold."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage

from app.lifespan import Opened, opened
from app.runs import Runs
from graph.budget import Budget, Spent
from graph.context import Clock, LocalContext
from graph.models import Models, Question, Reply, Role
from graph.tools import Tools
from services.by_rule import RULES
from services.settings import load


@dataclass(kw_only=True)
class Recording:
    """Passes on to the real chain what it is asked, and keeps it."""

    real: Models
    role: Role = "agent"
    """Whose requests are kept."""
    questions: list[Question] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    """The member asked first, by request."""

    async def complete(self, chain: str, question: Question, *, budget: Budget, first: int = 0) -> Reply:
        if question.role == self.role:
            # A sub-task goes on with the list it asked with.
            self.questions.append(dataclasses.replace(question, messages=list(question.messages)))
            self.firsts.append(first)
        return await self.real.complete(chain, question, budget=budget, first=first)

    def usd(self, chain: str, prompt_tokens: int, completion_tokens: int) -> float:
        return self.real.usd(chain, prompt_tokens, completion_tokens)

    def last_words(self) -> list[str]:
        """The last message of each request."""
        return [str(question.messages[-1].text) for question in self.questions]


@dataclass(kw_only=True)
class Playing:
    """Answers request k with message k."""

    replies: Sequence[AIMessage]
    firsts: list[int] = field(default_factory=list)

    async def complete(self, chain: str, question: Question, *, budget: Budget, first: int = 0) -> Reply:
        if rule := RULES.get(question.role):
            return Reply(message=rule(question.messages), model=chain)
        (await budget.reserve(Spent(prompt_tokens=10))).settle(Spent(prompt_tokens=10))
        self.firsts.append(first)
        message = self.replies[question.turn].model_copy(update={"id": f"reply-{question.turn}"})
        return Reply(message=message, model=chain.split(",")[first])

    def usd(self, *_: Any) -> float:
        return 0.0


def with_parts(opened: Opened, **parts: Clock | Models | Tools) -> Runs:
    """Runs with some services replaced."""
    services: Any = dataclasses.replace(opened.services, **parts)  # type: ignore[arg-type]  # each under its own name
    return Runs(opened=dataclasses.replace(opened, services=services), progress=lambda _node, _change: None)


def chain_of(*members: LocalContext) -> LocalContext:
    """The first one's settings with all their models."""
    return members[0].model_copy(update={"model": ",".join(one.model for one in members)})


@asynccontextmanager
async def runs_with(database_url: str, home: Path, **settings: Any) -> AsyncIterator[Runs]:
    """Runs of a process with these settings."""
    async with opened(load(database_url=database_url, home=home, openai_api_key=None, **settings)) as everything:
        yield Runs(opened=everything, progress=lambda _node, _change: None)
