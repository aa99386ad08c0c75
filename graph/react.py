"""The `react` graph: reason, act, and what stands between them. Read top-down."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph

from graph import routing
from graph.context import Context
from graph.durable import DurableGraph, OpenEngine, durable
from graph.guarded import Node, add_nodes
from graph.state import Input, Outcome, State
from nodes.act import act
from nodes.approve import approve
from nodes.compress_history import compress_history
from nodes.finish import finish
from nodes.reason import reason
from nodes.sanitize import sanitize


def build() -> StateGraph[State, Context, Input, State]:
    """Nodes and edges, not yet compiled."""
    graph = StateGraph(State, context_schema=Context, input_schema=Input)

    nodes: dict[Node, Outcome] = {
        reason: "model_failed",
        approve: "tool_failed",
        act: "tool_failed",
        sanitize: "tool_failed",
        compress_history: "model_failed",
        finish: "tool_failed",
    }
    add_nodes(graph, nodes, last=finish)

    graph.add_conditional_edges(START, routing.on_entry)
    graph.add_conditional_edges("reason", routing.after_reason)
    graph.add_conditional_edges("approve", routing.after_approve)
    graph.add_conditional_edges("act", routing.after_act)
    graph.add_conditional_edges("sanitize", routing.after_sanitize)
    graph.add_conditional_edges("compress_history", routing.after_compress_history)
    graph.add_edge("finish", END)
    return graph


def react(open_engine: OpenEngine, **compile_with: Any) -> DurableGraph:
    """The compiled graph; `compile_with` goes to `StateGraph.compile` (checkpointer, name)."""
    return durable(build(), open_engine, name="react", **compile_with)
