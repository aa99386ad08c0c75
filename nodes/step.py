"""Where the calls of one execution of a node run."""

from __future__ import annotations

from graph.context import Run
from graph.state import State
from graph.tools import Step
from nodes.openable import openable


def step_of(run: Run, state: State, thread_id: str, seconds: float) -> Step:
    """The step that begins now; `seconds` are what the run's limit on time leaves."""
    return Step(
        thread_id=thread_id,
        workspace=run.context(state).workspace,
        claim=run.claim,
        lasting=run.durable,
        seconds=seconds,
        opens=openable(state),
    )
