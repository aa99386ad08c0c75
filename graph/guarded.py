"""A node that breaks ends its run typed: the caller gets an outcome and what was reached, never an exception."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import psycopg
from langgraph.errors import GraphBubbleUp
from langgraph.graph import StateGraph

from graph.errors import BallastError
from graph.state import Outcome
from nodes.asking import new_run

PASSED_ON = (GraphBubbleUp, BallastError, psycopg.Error)
"""Interrupts; what the caller can mend or was told in one line; a database that is away: the thread goes on later."""

_log = logging.getLogger(__name__)

Node = Callable[..., Awaitable[dict[str, Any]]]


def guarded(node: Node, outcome: Outcome, *, last: bool = False) -> Node:
    """The node; any error nobody foresaw ends the run in `outcome`, and is logged with its traceback.

    No node follows the `last` one to give the answer, so what it leaves is replaced here.
    """

    @functools.wraps(node)  # LangGraph reads from its signature what to hand over
    async def run(*args: Any, **named: Any) -> dict[str, Any]:
        try:
            return await node(*args, **named)
        except PASSED_ON:
            raise
        except Exception as error:  # noqa: BLE001 - that is what it is for
            _log.exception("node %s failed", node.__name__)
            why = f"{node.__name__} failed: {type(error).__name__}: {error}"
            # Else the state would keep the answer of an earlier run, and calls and results nobody waits for.
            answered = {"answer": f"Stopped: {why}.", "calls": [], "untrusted": []} if last else {}
            begun = {} if last else new_run(args[0])
            return {**begun, "outcome": outcome, "reason": why, **answered}

    return run


def add_nodes(graph: StateGraph[Any, Any, Any, Any], nodes: Mapping[Any, Outcome], *, last: Node) -> None:
    """Add each node, guarded by the outcome of a run it breaks, and described by its docstring's first line."""
    for node, broken in nodes.items():  # Any: nodes receive a Run where the published schema says Context
        described = {"description": node.__doc__.split("\n")[0]}
        graph.add_node(node.__name__, guarded(node, broken, last=node is last), metadata=described)
