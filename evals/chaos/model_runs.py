"""Runs on a provider whose every third answer is spoiled: each ends in a typed outcome, within its limits."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from evals.chaos import story
from evals.chaos.attempt import Job
from evals.chaos.picture import Picture, Problem
from evals.chaos.provider import PRICES, Bill, Provider
from graph.state import Outcome

TIMEOUT_SECONDS = 1.0
"""OPENAI_TIMEOUT: longest one call of a member may take, retries included."""
CHAIN = ",".join(f"openai:{name}" for name in PRICES)
TIGHT_EVERY = 2
"""Every second run has one small limit."""


def job(seed: int, number: int, workspace: Path, database_url: str, provider: Provider) -> Job:
    """Run `number` of this seed."""
    return Job(
        thread=f"{seed}-model-{number}",
        workspace=workspace,
        context={"model": CHAIN, "keep_tool_results": story.KEEP_TOOL_RESULTS, **limits(seed, number)},
        settings={
            "database_url": database_url,
            "home": workspace.parent,
            "openai_api_key": f"sk-chaos-{number}",
            "openai_base_url": provider.url,
            "openai_timeout": TIMEOUT_SECONDS,
            "prices": ",".join(f"{name}={into}/{out}" for name, (into, out) in PRICES.items()),
        },
        streams=random.Random(f"streams {seed} {number}").random() < 0.5,  # noqa: S311, PLR2004 - an even chance
    )


def limits(seed: int, number: int) -> dict[str, Any]:
    """All runs are bounded; every second one tightly, in one way."""
    bounds: dict[str, Any] = {"max_iterations": 25, "max_tool_calls": 50, "max_tokens": 200_000, "max_usd": 1.0}
    if number % TIGHT_EVERY:
        chance = random.Random(f"limits {seed} {number}")  # noqa: S311 - a test's dice
        tight: dict[str, Any] = {
            "max_iterations": chance.randint(1, 4),
            "max_tool_calls": chance.randint(1, 5),
            "max_tokens": chance.randint(1_000, 15_000),
            "max_usd": round(chance.uniform(0.002, 0.04), 4),
        }
        name = chance.choice(sorted(tight))
        bounds[name] = tight[name]
    return bounds


def judge(ended: Picture, bill: Bill, bounds: Mapping[str, Any]) -> list[Problem]:
    """What must not happen to a run whose model is spoiled."""
    return [*_ending(ended), *_limits(ended, bill, bounds), *_effects(ended)]


def _ending(ended: Picture) -> Iterator[Problem]:
    if ended.outcome not in get_args(Outcome):
        yield Problem(kind="lost", what=f"outcome {ended.outcome!r} is none")
    if not ended.answer.strip():
        yield Problem(kind="lost", what=f"{ended.outcome} without an answer")


def _limits(ended: Picture, bill: Bill, bounds: Mapping[str, Any]) -> Iterator[Problem]:
    usage = ended.usage
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    used = {
        "max_iterations": usage["iterations"],
        "max_tool_calls": usage["tool_calls"],
        "max_tokens": max(tokens, bill.tokens),
        "max_usd": max(usage["cost_usd"] or 0.0, bill.usd),
    }
    for name, most in bounds.items():
        if used[name] > most * (1 + 1e-9):  # dollars are added up in another order
            yield Problem(kind="over limit", what=f"{name} {most}, used {used[name]:g}")
    if tokens < bill.told_tokens:
        yield Problem(kind="over limit", what=f"charged {tokens} tokens of {bill.told_tokens} that replies told of")


def _effects(ended: Picture) -> Iterator[Problem]:
    """The world has what the ledger has."""
    for tool in ("place_order", "send_email", "post_notice"):
        recorded = sum(effect["tool"] == tool and effect["state"] == "done" for effect in ended.effects)
        happened = sum(one[0] == tool for one in ended.world)
        if happened > recorded:
            yield Problem(kind="duplicated", what=f"{tool} happened {happened} times, {recorded} are recorded")
        if happened < recorded:
            yield Problem(kind="missing", what=f"{tool} happened {happened} times, {recorded} are recorded")
