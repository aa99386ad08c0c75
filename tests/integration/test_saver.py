from __future__ import annotations

import asyncio
import operator
import uuid
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AnyMessage, HumanMessage, RemoveMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import SecretStr

from checkpoints.database import Pool, open_pool
from checkpoints.saver import PostgresSaver
from checkpoints.serde import serializer
from graph.state import no_usage, reduce_messages


class Conversation(TypedDict):
    messages: Annotated[list[AnyMessage], DeltaChannel(reduce_messages, snapshot_frequency=7)]
    count: Annotated[int, operator.add]
    note: str


def _say(state: Conversation) -> dict[str, Any]:
    number = len(state["messages"])
    return {
        "messages": [HumanMessage(f"secret {number}", id=str(number))],
        "count": 1,
        "note": "a secret note",
    }


def _graph(saver: PostgresSaver) -> CompiledStateGraph[Any, Any, Any, Any]:
    builder = StateGraph(Conversation)
    builder.add_node("say", _say)
    builder.add_edge(START, "say")
    builder.add_conditional_edges("say", lambda state: END if state["count"] % 5 == 0 else "say")
    return builder.compile(checkpointer=saver)


def _saver(pool: Pool, key: str | None = None) -> PostgresSaver:
    return PostgresSaver(pool, serde=serializer(SecretStr(key) if key else None))


async def _run(saver: PostgresSaver, thread: str, run_id: str | None = None) -> list[str]:
    config: Any = {"configurable": {"thread_id": thread}, "metadata": {"run_id": run_id or uuid.uuid4().hex}}
    result = await _graph(saver).ainvoke({"messages": [], "count": 0}, config, durability="sync")
    return [str(message.content) for message in result["messages"]]


async def _read(saver: PostgresSaver, thread: str) -> list[str]:
    snapshot = await _graph(saver).aget_state({"configurable": {"thread_id": thread}})
    return [str(message.content) for message in snapshot.values.get("messages", [])]


async def test_a_history_stored_by_deltas_is_read_back_whole(pool: Pool) -> None:
    saver = _saver(pool)
    said: list[str] = []
    for _ in range(4):
        said = await _run(saver, "t")

    assert len(said) == 20
    assert await _read(_saver(pool), "t") == said


async def test_pruning_to_the_latest_keeps_what_it_is_rebuilt_from(pool: Pool) -> None:
    saver = _saver(pool)
    await _run(saver, "t")
    said = await _run(saver, "t")
    before = [item async for item in saver.alist({"configurable": {"thread_id": "t"}})]

    await saver.aprune(["t"])

    after = [item async for item in saver.alist({"configurable": {"thread_id": "t"}})]
    assert len(after) < len(before)
    assert await _read(saver, "t") == said
    assert len(await _run(saver, "t")) == 15


async def test_deleting_a_run_keeps_what_later_runs_are_rebuilt_from(pool: Pool) -> None:
    saver = _saver(pool)
    await _run(saver, "t", "first")
    said = await _run(saver, "t", "second")

    await saver.adelete_for_runs(["first"])

    assert await _read(saver, "t") == said


async def test_deleting_the_last_run_goes_back_to_the_one_before(pool: Pool) -> None:
    saver = _saver(pool)
    said = await _run(saver, "t", "first")
    await _run(saver, "t", "second")

    await saver.adelete_for_runs(["second"])

    assert await _read(saver, "t") == said


async def test_a_copied_thread_goes_on_without_its_source(pool: Pool) -> None:
    saver = _saver(pool)
    said = await _run(saver, "t")

    await saver.acopy_thread("t", "copy")
    await saver.aprune(["t"], strategy="delete_all")

    assert await _read(saver, "t") == []
    assert await _read(saver, "copy") == said
    assert len(await _run(saver, "copy")) == 10


async def test_an_unknown_prune_strategy_is_refused(pool: Pool) -> None:
    with pytest.raises(ValueError, match="keep_latest or delete"):
        await _saver(pool).aprune(["t"], strategy="some")


async def test_a_fork_does_not_replay_the_other_branch(pool: Pool) -> None:
    saver = _saver(pool)
    await _run(saver, "t")
    graph = _graph(saver)
    history = [one async for one in graph.aget_state_history({"configurable": {"thread_id": "t"}})]
    third = next(one for one in history if one.values["count"] == 3)

    await graph.aupdate_state(third.config, {"messages": [RemoveMessage(id="0")], "count": 0, "note": "forked"})
    result = await graph.ainvoke(None, {"configurable": {"thread_id": "t"}})

    assert result["messages"][0].id == "1"
    old = await graph.aget_state(history[0].config)
    assert [m.id for m in old.values["messages"]] == ["0", "1", "2", "3", "4"]


async def test_no_text_of_an_encrypted_thread_is_stored_readable(pool: Pool) -> None:
    saver = _saver(pool, "0123456789abcdef")
    said = await _run(saver, "t")

    async with pool.connection() as connection:
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
            rows = await (await connection.execute(f"SELECT {table}::text AS row FROM {table}")).fetchall()  # noqa: S608 - three constants
            assert rows
            assert not any("secret" in row["row"] or b"secret".hex() in row["row"] for row in rows)
    assert await _read(saver, "t") == said


async def test_the_server_and_the_command_line_may_take_turns_on_a_thread(pool: Pool) -> None:
    """The server numbers versions itself (`langgraph_api`'s adapter); both kinds are compared as text."""

    class ServerSaver(PostgresSaver):
        def get_next_version(self, current: str | None, channel: None) -> str:  # noqa: ARG002 - the library's shape
            number = 0 if current is None else int(str(current).split(".")[0])
            return f"{number + 1:032}.{0.5:.16f}"

    ours, servers = _saver(pool), ServerSaver(pool, serde=serializer(None))
    for saver in (ours, servers, ours, servers):
        said = await _run(saver, "t")

    assert len(said) == 20
    assert await _read(ours, "t") == said


async def test_fifty_runs_share_a_pool_of_four(database_url: str, pool: Pool) -> None:
    async with open_pool(database_url, max_size=4) as small:
        saver = _saver(small)
        results = await asyncio.gather(*(_run(saver, f"t{number}") for number in range(50)))

    assert [len(one) for one in results] == [5] * 50


async def test_threads_are_listed_newest_first(pool: Pool) -> None:
    saver = _saver(pool)
    await _run(saver, "old")
    await _run(saver, "new")

    assert [row["thread_id"] for row in await saver.list_threads()] == ["new", "old"]


async def test_an_older_shape_is_read_as_todays_in_a_checkpoint_and_in_the_writes_beside_it(pool: Pool) -> None:
    saver, old = _saver(pool), {"iterations": 3}
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    checkpoint: Any = {**empty_checkpoint(), "channel_values": {"usage": old}, "channel_versions": {"usage": "1"}}
    stored = await saver.aput(config, checkpoint, {"step": 1}, {"usage": "1"})
    await saver.aput_writes(stored, [("usage", old)], "task")

    read = await saver.aget_tuple(config)

    assert read is not None
    today = {**no_usage(), **old}
    assert read.checkpoint["channel_values"] == {"usage": today}
    assert read.pending_writes == [("task", "usage", today)]
    assert read.metadata == {"step": 1}
