"""`ballast history` says what LangGraph's own `aget_state_history` says, without rebuilding a state."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from app.history import history
from app.lifespan import Opened
from app.runs import Runs
from checkpoints.listing import LIST_STEPS
from checkpoints.saver import PostgresSaver
from checkpoints.serde import serializer
from graph.context import Context
from tests.integration.conftest import LIST, MAIL, ORDER, READ, Script, calls, decide, ids_of, say

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


async def _by_langgraph(graph: Any) -> list[dict[str, Any]]:
    snapshots = [one async for one in graph.aget_state_history(THREAD)]
    by_id = {one.config["configurable"]["checkpoint_id"]: one for one in snapshots}
    rows = []
    for one in snapshots:
        parent = by_id.get(one.parent_config["configurable"]["checkpoint_id"]) if one.parent_config else None
        tasks = parent.tasks if parent and one.metadata["source"] == "loop" else None
        rows.append(
            {
                "checkpoint_id": one.config["configurable"]["checkpoint_id"],
                "parent_id": one.parent_config["configurable"]["checkpoint_id"] if one.parent_config else None,
                "step": one.metadata["step"],
                "node": one.metadata["source"] if tasks is None else ",".join(task.name for task in tasks),
                "next": [task.name for task in one.tasks],
                "created_at": one.created_at,
            }
        )
    return rows


async def test_of_a_plain_run(runs: Runs, script: Script) -> None:
    await runs.start("go", thread_id="t", context=script(calls(LIST), calls(READ), say("done")))
    await runs.start("again", thread_id="t", context=script(say("one"), say("two"), say("three"), say("four")))

    rows = await runs.history("t")

    assert rows == await _by_langgraph(runs.react)
    assert [row["node"] for row in rows[-4:]] == ["act", "reason", "__start__", "input"]


async def test_of_a_thread_that_waits_then_goes_on_then_is_replayed(
    runs: Runs, script: Script, services: Opened
) -> None:
    report = await runs.start("go", thread_id="t", context=script(calls(MAIL, ORDER), say("done")))
    waiting = await runs.history("t")
    assert waiting == await _by_langgraph(runs.react)
    assert waiting[0]["next"] == ["approve"]

    for approval in ids_of(report).values():
        await decide(services, approval, "approve")
    await runs.resume("t", context=Context())
    assert await runs.history("t") == await _by_langgraph(runs.react)

    for node in ("act", "approve", "reason"):
        found = await runs.find_checkpoint("t", node=node, checkpoint_id=None)
        await runs.replay("t", found.config["configurable"]["checkpoint_id"])
    forked = await runs.history("t")
    assert forked == await _by_langgraph(runs.react)
    assert "fork" in {row["node"] for row in forked}


@pytest.mark.parametrize("as_node", [None, "__start__", "act", "finish"])
async def test_of_a_thread_edited_by_hand(runs: Runs, script: Script, as_node: str | None) -> None:
    await runs.start("go", thread_id="t", context=script(calls(LIST), say("done"), say("more"), say("more")))
    for row in await runs.history("t"):
        if row["next"] in (["act"], ["reason"], []):
            at: Any = {"configurable": {**THREAD["configurable"], "checkpoint_id": row["checkpoint_id"]}}
            edited = await runs.react.aupdate_state(at, {"messages": [HumanMessage("and?")]}, as_node=as_node)
            assert await runs.history("t") == await _by_langgraph(runs.react)
            await runs.react.ainvoke(None, edited)

    assert await runs.history("t") == await _by_langgraph(runs.react)


class CutSaver(PostgresSaver):
    """Its process is cut off instead of storing checkpoint number `left`; the writes of the step are stored."""

    left: int

    async def aput(self, *given: Any, **named: Any) -> RunnableConfig:
        if self.left == 0:
            raise ConnectionError("cut off")
        self.left -= 1
        return await super().aput(*given, **named)


@pytest.mark.parametrize("stored", range(1, 7))
async def test_of_a_run_cut_between_writes_and_checkpoint(services: Opened, script: Script, stored: int) -> None:
    saver = CutSaver(services.pool, serde=services.saver.serde)
    saver.left = stored
    cut = Runs(opened=dataclasses.replace(services, saver=saver), progress=lambda _node, _change: None)
    with pytest.raises(ConnectionError):
        await cut.start("go", thread_id="t", context=script(calls(READ), calls(LIST), say("done")))

    rows = await cut.history("t")

    assert len(rows) == stored
    assert rows[0]["next"]
    assert rows == await _by_langgraph(cut.react)


class Tree(TypedDict):
    done: Annotated[list[str], operator.add]


async def test_of_a_graph_with_sends_and_a_join(services: Opened) -> None:
    """What `react` does not have: nodes that were sent to, and one that waits for several."""

    def node(name: str) -> Any:
        return lambda _state: {"done": [name]}

    builder: Any = StateGraph(Tree)
    for name in ("plan", "task", "left", "right", "join"):
        builder.add_node(name, node(name))
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", lambda _state: [Send("task", {"done": []}) for _ in range(3)])
    builder.add_edge("task", "left")
    builder.add_edge("task", "right")
    builder.add_edge(["left", "right"], "join")
    builder.add_edge("join", END)
    graph = builder.compile(checkpointer=services.saver, interrupt_before=["join"])
    await graph.ainvoke({"done": []}, THREAD)
    assert await history(graph, services.saver, "t") == await _by_langgraph(graph)
    await graph.ainvoke(None, THREAD)

    rows = await history(graph, services.saver, "t")

    assert rows == await _by_langgraph(graph)
    nodes = ["join", "left,right", "task,task,task", "plan", "__start__", "input"]
    assert [row["node"] for row in rows] == nodes


class CountingSerde:
    """Counts the stored values that are read."""

    def __init__(self) -> None:
        self._inner = serializer(None)
        self.read = 0

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return self._inner.dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        self.read += 1
        return self._inner.loads_typed(data)


async def test_its_cost_grows_with_the_thread_and_not_with_its_square(
    runs: Runs, services: Opened, script: Script
) -> None:
    """Values decoded here, and rows Postgres touched for it, a checkpoint: the same in a long thread."""
    serde = CountingSerde()
    counted = dataclasses.replace(services, saver=PostgresSaver(services.pool, serde=serde))
    reader = Runs(opened=counted, progress=lambda _node, _change: None)
    costs: list[tuple[float, float]] = []
    for length in (10, 80):
        limits = {"max_iterations": 100, "max_tool_calls": 100}
        context = script(*[calls(LIST)] * length, say("done"), **limits)
        await runs.start("go", thread_id=f"t{length}", context=context)
        serde.read = 0
        rows = await reader.history(f"t{length}")
        decoded = serde.read
        touched = await _rows_touched(services, f"t{length}", list(runs.react.channels))
        costs.append((decoded / len(rows), touched / len(rows)))
    (short_decoded, short_touched), (long_decoded, long_touched) = costs

    assert long_decoded <= short_decoded
    assert long_touched <= short_touched * 1.5


async def _rows_touched(services: Opened, thread: str, channels: Sequence[str]) -> int:
    async with services.pool.connection() as connection, connection.transaction():
        await connection.execute(LIST_STEPS, {"thread_id": thread, "channels": list(channels)})
        query = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS touched FROM pg_stat_xact_user_tables"
        [row] = await (await connection.execute(query)).fetchall()
        return int(row["touched"])


async def test_replaying_from_a_node_rebuilds_no_state_but_two(runs: Runs, services: Opened, script: Script) -> None:
    serde = CountingSerde()
    counted = dataclasses.replace(services, saver=PostgresSaver(services.pool, serde=serde))
    reader = Runs(opened=counted, progress=lambda _node, _change: None)
    reads = []
    for length in (10, 40):
        context = script(calls(READ), *[calls(LIST)] * length, say("done"), max_iterations=100, max_tool_calls=100)
        await runs.start("go", thread_id=f"t{length}", context=context)
        serde.read = 0
        found = await reader.find_checkpoint(f"t{length}", node="sanitize", checkpoint_id=None)
        assert [task.name for task in found.tasks] == ["sanitize"]
        reads.append(serde.read)

    assert reads[1] < reads[0] * 5  # 4 times as long; each state on the way rebuilt would be 16 times as much
