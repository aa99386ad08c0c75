"""What all runs of a thread have spent together, on the branch that a state stands at the end of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph.state import State, Totals, Usage


def before(state: State) -> Totals:
    """What the runs before this one have spent, also in the node a run begins with."""
    return of_thread(state) if state.get("outcome") else _earlier(state)


def of_thread(state: State | Mapping[str, Any]) -> Totals:
    """What all runs have spent, the last one so far.

    Older releases kept what the last run spent, and nothing of those before it: their threads count from there.
    """
    usage: Usage | None = state.get("usage")
    earlier = _earlier(state)
    if usage is None:
        return earlier
    return Totals(
        runs=earlier["runs"] + 1,
        iterations=earlier["iterations"] + usage["iterations"],
        model_calls=earlier["model_calls"] + usage["model_calls"],
        tool_calls=earlier["tool_calls"] + usage["tool_calls"],
        prompt_tokens=earlier["prompt_tokens"] + usage["prompt_tokens"],
        completion_tokens=earlier["completion_tokens"] + usage["completion_tokens"],
        cost_usd=earlier["cost_usd"] + usage["cost_usd"],
        seconds=earlier["seconds"] + usage["seconds"],
    )


def no_totals() -> Totals:
    """No run has spent anything."""
    return Totals(
        runs=0,
        iterations=0,
        model_calls=0,
        tool_calls=0,
        prompt_tokens=0,
        completion_tokens=0,
        cost_usd=0.0,
        seconds=0.0,
    )


def _earlier(state: State | Mapping[str, Any]) -> Totals:
    known: Totals | None = state.get("earlier")
    return known or no_totals()
