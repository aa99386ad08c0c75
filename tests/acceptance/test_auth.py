"""Each person sees their own threads only, by whatever route: a foreign thread answers as one that is not there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.acceptance.conftest import Asked, Server, SignIn, client_of, waiting

Json = Any
LIST: Json = {"messages": [{"role": "user", "content": "list files"}]}
RUN: Json = {"assistant_id": "react"}
REJECT: Json = {"decisions": [{"type": "reject"}]}
REACT = "166c0d22-706c-5a5b-9027-ea37f7308a85"
"""The assistant the server makes of our graph: its id is made of the graph's name."""
JSON = {"accept": "application/json", "a2a-version": "1.0"}


@dataclass(frozen=True, kw_only=True)
class People:
    ann: httpx.Client
    bob: httpx.Client
    eve: httpx.Client
    """An approver."""
    boss: httpx.Client
    """An admin."""
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def server(closed_server: Server) -> Server:
    return closed_server


@pytest.fixture(scope="module")
def people(server: Server, sign_in: SignIn) -> Iterator[People]:
    roles = {"ann": "user", "bob": "user", "eve": "approver", "boss": "admin"}
    tokens = {name: sign_in.token(name, role) for name, role in roles.items()}
    with ExitStack() as stack:
        clients = {name: stack.enter_context(client_of(server, token)) for name, token in tokens.items()}
        yield People(tokens=tokens, **clients)


GHOST = Asked(thread=str(uuid.uuid4()), run=str(uuid.uuid4()), checkpoint=str(uuid.uuid4()), interrupt="0" * 32)
"""One that never was."""


@pytest.fixture(scope="module")
def anns(people: People) -> Asked:
    return waiting(people.ann)


def _call(client: httpx.Client, route: tuple[str, str, Json], asked: Asked) -> tuple[int, str]:
    """Status and body, with the ids taken out of it."""
    method, path, body = route
    names = {"THREAD": asked.thread, "RUN": asked.run, "CHECKPOINT": asked.checkpoint, "INTERRUPT": asked.interrupt}
    sent = json.dumps([path, body])
    for name, value in names.items():
        sent = sent.replace(f"<{name}>", value)
    path, body = json.loads(sent)
    answer = client.request(method, path, json=body, headers=JSON)
    text = answer.text
    for name, value in names.items():
        text = text.replace(value, f"<{name}>")
    return answer.status_code, text


def _command(method: str, **params: Json) -> tuple[str, str, Json]:
    return ("POST", "/threads/<THREAD>/commands", {"id": 1, "method": method, "params": params})


def _a2a(method: str, **params: Json) -> tuple[str, str, Json]:
    return ("POST", f"/a2a/{REACT}", {"jsonrpc": "2.0", "id": "1", "method": method, "params": params})


RESUME: Json = {**RUN, "command": {"resume": {"<INTERRUPT>": REJECT}}}
ROUTES: list[tuple[str, str, Json]] = [
    ("GET", "/threads/<THREAD>", None),
    ("PATCH", "/threads/<THREAD>", {"metadata": {"owner": "bob"}}),
    ("DELETE", "/threads/<THREAD>", None),
    ("GET", "/threads/<THREAD>/state", None),
    ("GET", "/threads/<THREAD>/state/<CHECKPOINT>", None),
    ("POST", "/threads/<THREAD>/state/checkpoint", {"checkpoint": {"checkpoint_id": "<CHECKPOINT>"}}),
    ("POST", "/threads/<THREAD>/state", {"values": None, "as_node": "__end__"}),
    ("GET", "/threads/<THREAD>/history", None),
    ("POST", "/threads/<THREAD>/history", {"limit": 10}),
    ("POST", "/threads/<THREAD>/copy", None),
    ("GET", "/threads/<THREAD>/storage", None),
    ("GET", "/threads/<THREAD>/stream", None),
    ("POST", "/threads/<THREAD>/stream/events", {"channels": ["values", "input", "lifecycle"]}),
    _command("input.respond", interrupt_id="<INTERRUPT>", response=REJECT),
    _command("agent.getTree"),
    ("GET", "/threads/<THREAD>/runs", None),
    ("GET", "/threads/<THREAD>/runs/<RUN>", None),
    ("GET", "/threads/<THREAD>/runs/<RUN>/join", None),
    ("GET", "/threads/<THREAD>/runs/<RUN>/stream", None),
    ("POST", "/threads/<THREAD>/runs/<RUN>/cancel", None),
    ("POST", "/threads/<THREAD>/runs/<RUN>/cancel?wait=true&action=rollback", None),
    ("DELETE", "/threads/<THREAD>/runs/<RUN>", None),
    ("POST", "/threads/<THREAD>/runs", {**RUN, "input": LIST}),
    ("POST", "/threads/<THREAD>/runs", RESUME),
    ("POST", "/threads/<THREAD>/runs/wait", RESUME),
    ("POST", "/threads/<THREAD>/runs/stream", RESUME),
    ("POST", "/threads/<THREAD>/runs/crons", {**RUN, "schedule": "* * * * *"}),
    ("POST", "/threads/prune", {"thread_ids": ["<THREAD>"]}),
    ("POST", "/runs/cancel", {"thread_id": "<THREAD>", "run_ids": ["<RUN>"]}),
    ("POST", "/threads/search", {"ids": ["<THREAD>"]}),
    _a2a("GetTask", id="<RUN>", contextId="<THREAD>"),
    _a2a("GetTask", id="<THREAD>:<RUN>"),
    _a2a("CancelTask", id="<THREAD>:<RUN>"),
    _a2a("ListTasks", contextId="<THREAD>"),
    ("GET", "/internal/debug/thread/<THREAD>", None),
]


def _stands(client: httpx.Client, asked: Asked) -> Json:
    """What must not change behind its owner's back."""
    thread = client.get(f"/threads/{asked.thread}").json()
    history = client.get(f"/threads/{asked.thread}/history", params={"limit": 100}).json()
    runs = client.get(f"/threads/{asked.thread}/runs").json()
    checkpoints = [one["checkpoint"]["checkpoint_id"] for one in history]
    return thread["metadata"], thread["status"], checkpoints, [(run["run_id"], run["status"]) for run in runs]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
@pytest.mark.parametrize("who", ["bob", "eve"])
def test_a_foreign_thread_answers_as_one_that_is_not_there(
    people: People, anns: Asked, route: tuple[str, str, Json], who: str
) -> None:
    before = _stands(people.ann, anns)

    foreign = _call(getattr(people, who), route, anns)

    assert foreign == _call(getattr(people, who), route, GHOST)
    assert _stands(people.ann, anns) == before


RUN_ROUTES = [route for route in ROUTES if "/runs/<RUN>" in route[1]] + [
    ("POST", "/runs/cancel", {"thread_id": "<THREAD>", "run_ids": ["<RUN>"]})
]


@pytest.mark.parametrize("route", RUN_ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_a_foreign_run_is_not_reached_through_ones_own_thread(
    people: People, anns: Asked, route: tuple[str, str, Json]
) -> None:
    own = people.bob.post("/threads", json={}).json()["thread_id"]
    before = _stands(people.ann, anns)

    foreign = _call(people.bob, route, replace(GHOST, thread=own, run=anns.run))

    assert foreign == _call(people.bob, route, replace(GHOST, thread=own))
    assert _stands(people.ann, anns) == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/threads", {"thread_id": "<THREAD>"}),
        ("/threads", {"thread_id": "<THREAD>", "if_exists": "do_nothing"}),
        ("/threads/<THREAD>/runs", {**RUN, "input": LIST, "if_not_exists": "create"}),
        ("/threads/<THREAD>/runs/wait", {**RESUME, "if_not_exists": "create"}),
        ("/threads/<THREAD>/commands", {"id": 1, "method": "run.start", "params": {**RUN, "input": LIST}}),
    ],
)
def test_a_thread_is_not_taken_over_by_creating_it_anew(people: People, anns: Asked, path: str, body: Json) -> None:
    before = _stands(people.ann, anns)

    status, said = _call(people.bob, ("POST", path, body), anns)

    assert (status in {404, 409}) or "404: Thread or assistant not found" in said
    assert _stands(people.ann, anns) == before


def test_lists_and_counts_have_ones_own_threads_only(people: People, anns: Asked) -> None:
    own = waiting(people.eve).thread

    def seen(client: httpx.Client, **search: Json) -> set[str]:
        return {one["thread_id"] for one in client.post("/threads/search", json={"limit": 1000, **search}).json()}

    assert seen(people.eve) == {own}
    assert seen(people.eve, metadata={"owner": "ann"}) == set()
    assert seen(people.eve, status="interrupted", ids=[anns.thread]) == set()
    assert people.eve.post("/threads/count", json={}).json() == 1
    assert {anns.thread, own} <= seen(people.boss)
    assert {one["contextId"] for one in _tasks(people.eve)} == {own}


def _tasks(client: httpx.Client) -> Json:
    _, path, body = _a2a("ListTasks")
    return client.post(path, json=body, headers=JSON).json()["result"]["tasks"]


def test_an_admin_sees_and_may_do_everything(people: People) -> None:
    asked = waiting(people.bob)

    found = people.boss.get(f"/threads/{asked.thread}/state").json()
    ended = people.boss.post(f"/threads/{asked.thread}/runs/wait", json=_resume(asked)).json()

    assert found["next"] == ["approve"]
    assert ended["outcome"] == "completed"
    assert people.bob.get(f"/threads/{asked.thread}").json()["metadata"]["owner"] == "bob"


def _resume(asked: Asked) -> Json:
    return {**RUN, "command": {"resume": {asked.interrupt: REJECT}}}


@pytest.mark.parametrize("path", ["/runs/wait", "/runs/stream"])
def test_a_run_without_a_thread_is_everybodys_to_start_and_its_starters_to_follow(people: People, path: str) -> None:
    mine = people.bob.post(path, json={**RUN, "input": LIST, "metadata": {"owner": "ann"}})
    kept = people.bob.post("/runs/wait", json={**RUN, "input": LIST, "on_completion": "keep"})
    [batch] = people.bob.post("/runs/batch", json=[{**RUN, "input": LIST, "on_completion": "keep"}]).json()

    assert "catalogue.csv" in mine.text
    thread = kept.headers["content-location"].split("/")[2]
    for one in (thread, batch["thread_id"]):
        assert people.bob.get(f"/threads/{one}").json()["metadata"]["owner"] == "bob"
        assert people.ann.get(f"/threads/{one}").status_code == 404
    followed = f"/threads/{batch['thread_id']}/runs/{batch['run_id']}/join"
    assert people.ann.get(followed).status_code == 404
    assert "catalogue.csv" in people.bob.get(followed).text


def test_runs_through_mcp_and_a2a_are_the_callers(people: People, anns: Asked) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "react", "arguments": LIST}}
    message = {"role": "ROLE_USER", "messageId": "1", "parts": [{"text": "list files"}]}

    by_tool = people.bob.post("/mcp", json=call, headers=JSON).text
    by_task = _call(people.bob, _a2a("SendMessage", message=message), GHOST)
    onto_anns = _call(people.bob, _a2a("SendMessage", message={**message, "contextId": "<THREAD>"}), anns)

    assert "catalogue.csv" in by_tool
    assert "catalogue.csv" in by_task[1]
    assert "thread_not_found" in onto_anns[1]
    assert all(people.bob.get(f"/threads/{one['contextId']}").is_success for one in _tasks(people.bob))


def _over_websocket(server: Server, token: str, thread: str, asked: Asked) -> list[Json]:
    """What comes until the server closes: an answer to each of two commands, or an event."""
    commands = [
        {"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values", "input"]}},
        {"id": 2, "method": "input.respond", "params": {"interrupt_id": asked.interrupt, "response": REJECT}},
    ]
    url = f"ws{server.url.removeprefix('http')}/threads/{thread}/stream/events"
    came: list[Json] = []
    with connect(url, additional_headers={"authorization": f"Bearer {token}"}) as socket:
        try:
            for command in commands:
                socket.send(json.dumps(command))
            while True:
                came.append(json.loads(socket.recv(timeout=30)))
        except ConnectionClosed:
            return [{"type": one["type"], "error": one.get("error")} for one in came]


def test_a_websocket_shows_and_takes_nothing_of_a_foreign_thread(server: Server, people: People, anns: Asked) -> None:
    before = _stands(people.ann, anns)

    foreign = _over_websocket(server, people.tokens["bob"], anns.thread, anns)

    assert {one["type"] for one in foreign} <= {"success", "error"}, "no event"
    assert {one["error"] for one in foreign} <= {None, "no_such_run"}
    assert _stands(people.ann, anns) == before
