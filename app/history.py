"""The checkpoints of a thread, listed without rebuilding a state: a message history is stored by deltas.

Which nodes are next is read off as LangGraph does it (`pregel._algo.prepare_next_tasks`): those that were sent
to, and those one of whose triggers holds a value newer than the one they saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.channels.base import BaseChannel
from langgraph.checkpoint.serde.types import TASKS
from langgraph.types import Send

from checkpoints.listing import StoredStep
from checkpoints.saver import PostgresSaver
from graph.durable import DurableGraph

OLDEST = ""
"""Before every version: they are text."""


async def history(graph: DurableGraph, saver: PostgresSaver, thread_id: str) -> list[dict[str, Any]]:
    """What `history` prints: newest first, `node` is what ran to reach the checkpoint."""
    triggers = {trigger for node in graph.nodes.values() for trigger in node.triggers}
    steps = await saver.list_steps(thread_id, [*triggers, TASKS])
    due = {step.checkpoint_id: _next_nodes(graph, step) for step in steps}
    return [
        {
            "checkpoint_id": step.checkpoint_id,
            "parent_id": step.parent_id,
            "step": step.step,
            "node": ",".join(
                due[step.parent_id] if step.source == "loop" and step.parent_id in due else [str(step.source)]
            ),
            "next": due[step.checkpoint_id],
            "created_at": step.created_at,
        }
        for step in steps
    ]


def _next_nodes(graph: DurableGraph, step: StoredStep) -> list[str]:
    channels: dict[str, BaseChannel[Any, Any, Any]] = {}
    for name, value in step.values.items():
        spec = graph.channels.get(name)
        if isinstance(spec, BaseChannel):
            channels[name] = spec.from_checkpoint(value)
    sends = channels.pop(TASKS, None)
    sent = [send.node for send in sends.get() if isinstance(send, Send)] if sends and sends.is_available() else []
    pulled = [name for name, node in graph.nodes.items() if _is_due(node.triggers, channels, step, name)]
    return [name for name in sent if name in graph.nodes] + pulled


def _is_due(
    triggers: list[str], channels: Mapping[str, BaseChannel[Any, Any, Any]], step: StoredStep, node: str
) -> bool:
    seen = step.seen.get(node)
    return any(
        channels[trigger].is_available()
        and (seen is None or step.versions.get(trigger, OLDEST) > seen.get(trigger, OLDEST))
        for trigger in triggers
        if trigger in channels
    )
