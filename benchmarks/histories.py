"""A long history, folded and not: what its prompts take."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from langchain_core.utils.function_calling import convert_to_openai_tool

from app.lifespan import Opened, opened
from app.runs import Runs
from checkpoints.ledger import Ledger
from graph.budget import Budget
from graph.context import FOLD_SHARE, LocalContext
from graph.models import Models, Question, Reply
from services import settings
from services.encodings import cached_encoding, exact_tokens
from services.endpoints import endpoints_of
from services.handlings import Handlings
from services.tokens import PER_MESSAGE, PromptCount, of_tools, text_of
from services.windows import MOST_TOKENS
from tools.base import tool
from tools.execute import Executor
from tools.registry import ToolBox
from tools.results import open_result

ITERATIONS, RESULT_CHARS = 200, 2_000
UNBOUNDED = 100_000_000
"""A window in which nothing is ever folded."""
SHARE_TOKENS = int(FOLD_SHARE * MOST_TOKENS)
LINE = (
    "The shift of day {day} went on, invoice INV-{day:04d} over {day}.50 EUR is due, the rooms were left as they were. "
)


@tool(risk="low", untrusted_output=False, idempotent=True)
def read_log(day: int) -> str:
    """Read the log of a day.

    Args:
        day: Which, from 0.
    """
    line = LINE.format(day=day)
    return (line * (RESULT_CHARS // len(line) + 1))[:RESULT_CHARS]


def prompt_tokens(question: Question) -> int:
    """As folding counts them: by the models' encoding where this machine has it, else by the upper estimate."""
    encoding = cached_encoding()
    if encoding is None:
        return PromptCount().most(question.messages, of_tools(question.tools))
    tools = [json.dumps(convert_to_openai_tool(one)) for one in question.tools]
    return sum(PER_MESSAGE + exact_tokens(encoding, text) for text in [*map(text_of, question.messages), *tools])


@dataclass(kw_only=True)
class Counting:
    """Passes on to the real chain, and counts what prompts take."""

    real: Models
    tokens: list[int] = field(default_factory=list)
    """Of the agent's prompts."""
    summarizers: int = 0
    """Of the summarizer's, together."""

    async def complete(self, chain: str, question: Question, *, budget: Budget, first: int = 0) -> Reply:
        """See `graph.models.Models.complete`."""
        if question.role == "agent":
            self.tokens.append(prompt_tokens(question))
        else:
            self.summarizers += prompt_tokens(question)
        return await self.real.complete(chain, question, budget=budget, first=first)

    def usd(self, chain: str, prompt_tokens: int, completion_tokens: int) -> float:
        """See `graph.models.Models.usd`."""
        return self.real.usd(chain, prompt_tokens, completion_tokens)


async def _tokens(services: Opened, folder: Path, **fields: Any) -> tuple[list[int], int]:
    """What each prompt of the agent took, and all prompts together, the summarizer's included."""
    turns: list[dict[str, Any]] = [
        {"tool_calls": [{"name": "read_log", "args": {"day": day}}]} for day in range(ITERATIONS)
    ]
    script = folder / f"{uuid4().hex}.yaml"
    script.write_text(yaml.safe_dump({"turns": [*turns, {"content": "Read."}]}))
    counting = Counting(real=services.services.models)
    tools = Executor(
        ToolBox([read_log, open_result], handlings=Handlings(usual="marked")),  # whole texts, as they are folded
        Ledger(services.pool),
        endpoints_of(settings.load()),
    )
    within = replace(services.services, models=counting, tools=tools)
    runs = Runs(opened=replace(services, services=within), progress=lambda _node, _change: None)
    context = LocalContext(
        model=f"scripted:{script}",
        workspace=folder,
        max_iterations=ITERATIONS + 1,
        max_tool_calls=ITERATIONS,
        max_tokens=100_000_000,
        **fields,
    )
    report = await runs.start("Read all logs.", thread_id=uuid4().hex, context=context)
    if report["outcome"] != "completed":
        raise AssertionError(report["answer"])
    return counting.tokens, sum(counting.tokens) + counting.summarizers


def _r_squared(sums: Sequence[int]) -> float:
    """How near the sums are to a straight line."""
    return statistics.correlation(range(len(sums)), sums) ** 2


async def histories(url: str, folder: Path) -> list[tuple[str, str, str, str]]:
    """(figure, never folded, folded, to reach)."""
    chosen = settings.load(database_url=url, home=folder, openai_api_key=None)
    async with opened(chosen) as services:
        whole, whole_sum = await _tokens(services, folder, window_tokens=UNBOUNDED)
        folded, folded_sum = await _tokens(services, folder)
    return [
        ("largest prompt, tokens", f"{max(whole):,}", f"{max(folded):,}", f"{SHARE_TOKENS:,} or less"),
        (
            "all prompts together, the summarizer's included",
            f"{whole_sum:,}",
            f"{folded_sum:,} ({folded_sum / whole_sum:.2f} of it)",
            "0.25 of it or less",
        ),
        (
            "their sum is a straight line, R²",
            f"{_r_squared(list(accumulate(whole))):.4f}",
            f"{_r_squared(list(accumulate(folded))):.4f}",
            "0.99 or more",
        ),
    ]
