"""The plan graph on a real `langgraph dev`: what Studio and chat pages ask of it, and a held task answered by them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import yaml
from langgraph_sdk import get_client

from tests.acceptance.desk import Desk
from tests.acceptance.planned import planned, task

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the desk's server serves it too

HELD = [
    task("files", "list_files"),
    task("order", "place_order", "files", item="Desk lamp", quantity=2, unit_price=38.25),
    task("search", "search_documents", query="lamp"),
    task("told", "get_order", "order", id="ORD-000001"),
]


async def test_a_held_task_is_answered_by_its_interrupt_and_the_plan_completes(desk: Desk) -> None:
    thread = await planned(desk, *HELD)
    async with get_client(url=desk.server.url) as client:
        state: Any = await client.threads.get_state(thread)
        assert {name: one["stands"] for name, one in state["values"]["results"].items()} == {
            "files": "done", "search": "done",
        }  # fmt: skip
        [interrupt] = state["tasks"][0]["interrupts"]
        [action] = interrupt["value"]["action_requests"]
        assert (action["name"], action["args"]["quantity"]) == ("place_order", 2)

        answer = {interrupt["id"]: {"decisions": [{"type": "approve"}]}}
        values: Any = await client.runs.wait(thread, "plan", command={"resume": answer})

    assert (values["outcome"], values["answer"]) == ("completed", "All done.")
    assert values["results"]["order"]["stands"] == "done"
    assert values["results"]["told"]["stands"] in ("done", "failed")  # another test's order may have that number
    calls = [call["id"] for message in values["messages"] for call in message.get("tool_calls", [])]
    results = [message["tool_call_id"] for message in values["messages"] if message["type"] == "tool"]
    assert sorted(calls) == sorted(results)


async def test_both_graphs_are_offered_with_their_schemas_and_drawings(desk: Desk) -> None:
    async with get_client(url=desk.server.url) as client:
        found = {one["graph_id"]: one["assistant_id"] for one in await client.assistants.search()}
        assert set(found) == {"react", "plan"}
        graph = await client.assistants.get_graph(found["plan"])
        schemas: Any = await client.assistants.get_schemas(found["plan"])

    nodes = {str(node["id"]) for node in graph["nodes"]}
    assert nodes == {
        "__start__",
        "__end__",
        "plan",
        "execute",
        "approve",
        "sanitize",
        "compress_history",
        "join",
        "finish",
    }
    joined = {(edge["source"], edge["target"]) for edge in graph["edges"]}
    assert {("plan", "execute"), ("execute", "approve"), ("execute", "plan"), ("join", "finish")} <= joined
    assert list(schemas["input_schema"]["properties"]) == ["messages"]
    assert {"tasks", "results", "outcome"} <= set(schemas["state_schema"]["properties"])
    assert "max_tool_calls" in schemas["context_schema"]["properties"]


async def test_a_plan_is_streamed_as_its_tasks_end(desk: Desk) -> None:
    """What a page that follows a run sees of it."""
    path = desk.folder / "streamed.yaml"
    plan = {"tool_calls": [{"name": "plan", "args": {"tasks": [task("mail", "list_mail"), HELD[2]]}}]}
    path.write_text(yaml.safe_dump({"turns": [{"content": "All done."}], "planner": [plan]}))
    asked: Any = {"messages": [{"role": "user", "content": "go"}]}
    context = {"model": f"scripted:{path}"}
    async with get_client(url=desk.server.url) as client:
        thread = (await client.threads.create())["thread_id"]
        stream = client.runs.stream(thread, "plan", input=asked, context=context, stream_mode="updates")
        steps = [name async for part in stream if part.event == "updates" for name in part.data]

    assert steps == ["plan", "task", "task", "execute", "join", "finish"]


async def test_agent_chat_ui_can_use_it_with_its_own_input(desk: Desk) -> None:
    """It sends blocks of content, and asks for values."""
    blocks: Any = {"messages": [{"type": "human", "content": [{"type": "text", "text": "list files and list mail"}]}]}
    async with desk.http() as http:
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        body = {"assistant_id": "plan", "input": blocks, "context": {"model": "offline"}}
        answer: httpx.Response = await http.post(f"/threads/{thread}/runs/wait", json=body)

    values = answer.json()
    assert values["outcome"] == "completed"
    assert [one["tool"] for one in values["tasks"]] == ["list_files", "list_mail"]
