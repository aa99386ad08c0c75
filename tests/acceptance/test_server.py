from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from langgraph.checkpoint.base import empty_checkpoint
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from psycopg.types.json import Jsonb

from tests.acceptance.conftest import Server

ORDER: Any = {"messages": [{"role": "user", "content": [{"type": "text", "text": "order 2 desk lamps at 38.25"}]}]}
SEARCH: Any = {"messages": [{"role": "user", "content": "search for travel policy"}]}
APPROVE = {"decisions": [{"type": "approve"}]}


@pytest.fixture
async def client(server: Server) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=server.url) as sdk:
        yield sdk


async def _waiting_thread(client: LangGraphClient) -> tuple[str, str, dict[str, Any]]:
    """(thread id, interrupt id, the interrupt's value) of an order that waits for approval."""
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], "react", input=ORDER)
    state = await client.threads.get_state(thread["thread_id"])
    [interrupt] = [one for task in state["tasks"] for one in task["interrupts"]]
    return thread["thread_id"], interrupt["id"], interrupt["value"]


async def test_the_sdk_starts_sees_resumes_and_reads_history(client: LangGraphClient) -> None:
    thread, interrupt_id, request = await _waiting_thread(client)
    assert request["action_requests"][0]["name"] == "place_order"
    assert request["action_requests"][0]["args"] == request["action_requests"][0]["arguments"]

    result: Any = await client.runs.wait(thread, "react", command={"resume": {interrupt_id: APPROVE}})
    history = await client.threads.get_history(thread)

    assert result["outcome"] == "completed"
    assert "placed: 2 x" in result["answer"]
    assert [one["next"] for one in history][-1] == ["__start__"]
    assert history[0]["next"] == []


async def test_a_plain_http_client_can_do_the_same(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        first = await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "react", "input": ORDER})
        interrupt_id = first.json()["__interrupt__"][0]["id"]
        body = {"assistant_id": "react", "command": {"resume": {interrupt_id: APPROVE}}}
        second = await http.post(f"/threads/{thread}/runs/wait", json=body)
        history = await http.get(f"/threads/{thread}/history", params={"limit": 50})

    assert second.json()["outcome"] == "completed"
    assert len(history.json()) > 4


async def test_an_answer_by_an_old_interrupt_id_decides_nothing(client: LangGraphClient) -> None:
    thread, _, _ = await _waiting_thread(client)

    with pytest.raises(httpx.HTTPStatusError, match="has no such question") as refused:
        await client.runs.wait(thread, "react", command={"resume": {"0" * 32: APPROVE}})

    assert refused.value.response.status_code == 409
    state = await client.threads.get_state(thread)
    assert state["next"] == ["approve"]


async def test_a_thread_forks_from_a_checkpoint_and_is_asked_anew(client: LangGraphClient) -> None:
    thread, interrupt_id, _ = await _waiting_thread(client)
    asked = (await client.threads.get_state(thread))["checkpoint"]
    await client.runs.wait(thread, "react", command={"resume": {interrupt_id: APPROVE}})

    await client.runs.wait(thread, "react", input=None, checkpoint_id=asked["checkpoint_id"])

    forked = await client.threads.get_state(thread)
    [again] = [one for task in forked["tasks"] for one in task["interrupts"]]
    assert again["id"] != interrupt_id
    assert len({one["checkpoint"]["checkpoint_id"] for one in await client.threads.get_history(thread)}) > 5


async def test_a_state_edited_by_hand_forks_the_thread_and_runs_on(client: LangGraphClient) -> None:
    """Studio's and the SDK's way to fork: write another request into an old checkpoint, then run from there."""
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "react", input=SEARCH)
    history = await client.threads.get_history(thread, limit=50)
    first = [one for one in history if one["next"] == ["reason"]][-1]
    values: Any = first["values"]
    [asked] = values["messages"]

    edited = await client.threads.update_state(
        thread, {"messages": [{**asked, "content": "list files"}]}, checkpoint=first["checkpoint"], as_node="__start__"
    )
    result: Any = await client.runs.wait(thread, "react", input=None, checkpoint=edited["checkpoint"])

    assert result["outcome"] == "completed"
    assert "docs/catalogue.csv" in result["answer"]
    assert len(await client.threads.get_history(thread, limit=50)) > len(history)


async def test_an_answer_that_could_mean_another_question_decides_nothing_and_is_told_why(
    client: LangGraphClient, tmp_path: Path
) -> None:
    script = tmp_path / "script.yaml"
    order = {"name": "place_order", "args": {"item": "Desk lamp", "quantity": 2, "unit_price": 38.25}}
    mail = {"name": "send_email", "args": {"to": "ann@example.com", "subject": "Hi", "body": "Hello"}}
    turns = [{"tool_calls": [mail]}, {"tool_calls": [order]}, {"content": "done"}]
    script.write_text(yaml.safe_dump({"turns": turns}))
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "react", input=SEARCH, context={"model": f"scripted:{script}"})
    mail_rejected: Any = {"resume": {"decisions": [{"type": "reject"}]}}
    await client.runs.wait(thread, "react", command=mail_rejected)

    with pytest.raises(httpx.HTTPStatusError, match="asked 2 times since its last request") as refused:
        await client.runs.wait(thread, "react", command={"resume": APPROVE})

    assert refused.value.response.status_code == 409
    [task] = (await client.threads.get_state(thread))["tasks"]
    [action] = task["interrupts"][0]["value"]["action_requests"]
    assert action["name"] == "place_order"
    found = await client.threads.search(status="interrupted", limit=1_000)
    assert thread in [one["thread_id"] for one in found]


@pytest.mark.parametrize("how", ["command", "state"])
async def test_a_thread_that_a_chat_page_resolves_is_cancelled_and_goes_on(client: LangGraphClient, how: str) -> None:
    """agent-chat-ui sends a command to go to the end, agent-inbox updates the state as the end."""
    thread, _, _ = await _waiting_thread(client)

    if how == "command":
        await client.runs.wait(thread, "react", command={"goto": "__end__"})
    else:
        await client.threads.update_state(thread, None, as_node="__end__")

    ended: Any = await client.threads.get_state(thread)
    assert (ended["next"], ended["values"]["outcome"], ended["values"]["calls"]) == ([], "cancelled", [])
    result: Any = await client.runs.wait(thread, "react", input=SEARCH)
    assert (result["outcome"], "travel-policy.md" in result["answer"]) == ("completed", True)


@pytest.mark.parametrize("asked_for", [{}, {"durability": "exit"}])
async def test_steps_are_stored_before_the_next_although_the_client_did_not_ask(
    client: LangGraphClient, server: Server, asked_for: dict[str, Any]
) -> None:
    """With the server's own `exit` nothing but the end would be stored."""
    thread = await client.threads.create()

    await client.runs.wait(thread["thread_id"], "react", input=SEARCH, **asked_for)

    with psycopg.connect(server.database_url) as connection:
        query = "SELECT count(*) FROM checkpoints WHERE thread_id = %s"
        row = connection.execute(query, (thread["thread_id"],)).fetchone()
    assert row is not None
    assert row[0] > 4


async def test_a_waiting_thread_survives_kill_9_of_the_server(client: LangGraphClient, server: Server) -> None:
    thread, interrupt_id, _ = await _waiting_thread(client)

    server.kill()
    server.start()

    async with get_client(url=server.url) as again:
        state = await _once_known(again, thread)
        assert [one["id"] for task in state["tasks"] for one in task["interrupts"]] == [interrupt_id]
        found = await _once_listed_as_waiting(again, thread)
        assert [one["id"] for asked in found["interrupts"].values() for one in asked] == [interrupt_id]
        result: Any = await again.runs.wait(thread, "react", command={"resume": {interrupt_id: APPROVE}})
        listed = await again.threads.search(status="interrupted", ids=[thread])
    assert result["outcome"] == "completed"
    assert listed == []


async def test_every_thread_comes_back_after_kill_9_not_only_the_newest(server: Server) -> None:
    old = [str(uuid.uuid4()) for _ in range(250)]
    checkpoint = empty_checkpoint() | {"v": 4, "id": "1ef00000-0000-6000-8000-000000000000"}
    insert = """
        INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint, metadata)
        SELECT one, %s, %s, '{"source": "loop", "step": 1}' FROM unnest(%s::text[]) AS one
    """
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        connection.execute(insert, (checkpoint["id"], Jsonb(checkpoint), old))

    server.kill()
    server.start()

    async with get_client(url=server.url) as client:
        assert await _once_all_are_known(client, old) == len(old)


async def _once_all_are_known(client: LangGraphClient, threads: list[str]) -> int:
    """How many of them the server lists, in the end. Bounded: it may need a moment."""
    found: list[Any] = []
    for _ in range(500):
        found = await client.threads.search(ids=threads, limit=1000, select=["thread_id"])
        if len(found) == len(threads):
            break
    return len(found)


async def _once_known(client: LangGraphClient, thread: str) -> Any:
    """The thread's state; a server that has just started may need a moment to learn of it from Postgres."""
    for _ in range(200):
        try:
            return await client.threads.get_state(thread)
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == 404  # noqa: PT017 - any other answer fails the test
    pytest.fail("the server never heard of the thread")


async def _once_listed_as_waiting(client: LangGraphClient, thread: str) -> Any:
    """As an inbox lists it, once the run has ended that tells the server of the question."""
    for _ in range(200):
        if runs := await client.runs.list(thread):
            await client.runs.join(thread, runs[0]["run_id"])
            [found] = await client.threads.search(status="interrupted", ids=[thread])
            return found
    pytest.fail("the server never asked the thread again")


async def test_a_run_without_a_thread_that_meets_a_gated_call_ends_saying_why(server: Server) -> None:
    async with get_client(url=server.url) as client:
        result: Any = await client.runs.wait(None, "react", input=ORDER)

    assert result["outcome"] == "blocked"
    assert "start it on a thread" in result["answer"]


async def test_a_run_without_a_thread_may_read(server: Server) -> None:
    async with get_client(url=server.url) as client:
        result: Any = await client.runs.wait(None, "react", input=SEARCH)

    assert result["outcome"] == "completed"
    assert "travel-policy.md" in result["answer"]


async def test_a_context_field_out_of_bounds_is_told_to_the_client(server: Server) -> None:
    async with get_client(url=server.url) as client:
        thread = await client.threads.create()
        with pytest.raises(Exception, match=r"max_iterations.*greater than or equal to 1"):
            await client.runs.wait(thread["thread_id"], "react", input=SEARCH, context={"max_iterations": -1})


async def test_a_client_can_not_choose_the_workspace(server: Server) -> None:
    async with get_client(url=server.url) as client:
        thread = await client.threads.create()
        sneaky: dict[str, Any] = {**SEARCH, "settings": {"workspace": "/etc"}}
        context: Any = {"workspace": "/etc"}
        result: Any = await client.runs.wait(thread["thread_id"], "react", input=sneaky, context=context)

    assert result["settings"]["workspace"].endswith("examples/office")


async def test_every_context_field_is_published_with_title_description_default_and_bounds(server: Server) -> None:
    async with get_client(url=server.url) as client:
        [assistant] = await client.assistants.search(graph_id="react")
        schemas: Any = await client.assistants.get_schemas(assistant["assistant_id"])
        drawn: Any = await client.assistants.get_graph(assistant["assistant_id"])

    for name, field in schemas["context_schema"]["properties"].items():
        assert {"title", "description", "default"} <= set(field), name
        assert {"minimum", "exclusiveMinimum", "minLength", "maxLength", "enum"} & set(field), name
        assert {"maximum", "maxLength", "enum"} & set(field), name
    assert set(schemas["input_schema"]["properties"]) == {"messages"}
    nodes = [node for node in drawn["nodes"] if not node["id"].startswith("__")]
    assert len(nodes) == 6
    assert all(node["metadata"]["description"] for node in nodes)


async def test_a_copied_thread_has_the_whole_conversation(server: Server) -> None:
    async with get_client(url=server.url) as client, httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        thread, _, _ = await _waiting_thread(client)
        copy = (await http.post(f"/threads/{thread}/copy")).json()["thread_id"]
        original: Any = await client.threads.get_state(thread)
        copied: Any = await client.threads.get_state(copy)

    assert copied["values"]["messages"] == original["values"]["messages"]
    assert copied["next"] == ["approve"]
