"""The peer: `create_agent` with LangGraph's own Postgres saver, as its documentation sets it up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.subject import LookupModel, lookup

Run = Callable[[str, int], Awaitable[None]]
"""Runs (thread, iterations) to the end."""


@asynccontextmanager
async def open_peer(url: str, connections: int) -> AsyncIterator[Run]:
    """A runner of the peer over a pool of its own."""
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(url, min_size=connections, max_size=connections, kwargs=options) as pool:
        saver = AsyncPostgresSaver(pool)  # type: ignore[arg-type]  # the row factory is given above
        await saver.setup()

        @cache
        def agent(iterations: int) -> Any:
            """Compiled once, as a service would."""
            tools = [StructuredTool.from_function(coroutine=lookup)]
            return create_agent(LookupModel(iterations=iterations), tools, checkpointer=saver)

        async def run(thread: str, iterations: int) -> None:
            config: Any = {"configurable": {"thread_id": thread}, "recursion_limit": 5 * iterations + 20}
            await agent(iterations).ainvoke({"messages": [HumanMessage("go")]}, config, durability="sync")

        yield run
