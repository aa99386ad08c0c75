"""Asking a model: the question, the reply, and the chain that gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool

from graph.budget import Budget

Role = Literal["agent", "summarizer", "planner", "subtask", "reader", "extractor"]
"""What a model is asked as. The reader says what a request asks for, the extractor what an untrusted text says.
Later: judge."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a model is asked."""

    messages: Sequence[BaseMessage]
    tools: Sequence[BaseTool] = ()
    role: Role = "agent"
    turn: int = 0
    """For a script: which turn it is, counted from 0."""
    subtask: str = ""
    """For a script: the id of the sub-task that is asked."""
    max_reply_tokens: int = 16_384


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A model's answer."""

    message: AIMessage
    model: str
    """The member of the chain that answered, as written in the chain."""
    failures: tuple[str, ...] = ()
    """One line for each model that failed before this one answered."""


class Models(Protocol):
    """The model chain. `services/models.py`."""

    async def complete(self, chain: str, question: Question, *, budget: Budget, first: int = 0) -> Reply:
        """Ask the chain's models in order, from number `first` (from 0) on, until one answers.

        Each attempt is reserved in `budget` before it is made, and charged whether it fails or not.

        Raises:
            ModelFailed: all of them failed.
            LimitReached: the budget left no room for one that might have answered.
        """
        ...

    def usd(self, chain: str, prompt_tokens: int, completion_tokens: int) -> float:
        """What a call of this size costs, in US dollars, asked of the chain's first model."""
        ...
