"""Tokens on a real server: who is let in, what their role lets them do, and that a name can't be made up."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest

from app.person import person
from tests.acceptance.conftest import Asked, Server, SignIn, client_of, waiting

Clients = dict[str, httpx.Client]
Json = Any
REJECT: Json = {"decisions": [{"type": "reject"}]}
LIST: Json = {"messages": [{"role": "user", "content": "list files"}]}


@pytest.fixture(scope="module")
def server(closed_server: Server) -> Server:
    return closed_server


@pytest.fixture(scope="module")
def tokens(sign_in: SignIn) -> dict[str, str]:
    return {name: sign_in.token(name, role) for name, role in {"ann": "user", "bob": "user", "boss": "admin"}.items()}


@pytest.fixture
def clients(server: Server, tokens: dict[str, str]) -> Iterator[Clients]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(client_of(server, token)) for name, token in tokens.items()}


def _status(server: Server, token: str | None = None, **headers: str) -> int:
    with client_of(server, token, **headers) as client:
        return client.post("/threads/search", json={}).status_code


def test_a_token_lets_in_and_nothing_else_does(server: Server, tokens: dict[str, str]) -> None:
    assert _status(server, tokens["ann"]) == 200
    assert _status(server) == 401
    assert _status(server, tokens["ann"] + "x") == 401
    assert _status(server, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJib3NzIn0.") == 401
    assert _status(server, authorization=f"Basic {tokens['ann']}") == 401
    assert _status(server, authorization=tokens["ann"]) == 401


def test_the_key_field_of_chat_pages_takes_a_token_and_a_langsmith_key_is_none(
    server: Server, tokens: dict[str, str]
) -> None:
    assert _status(server, **{"x-api-key": tokens["ann"]}) == 200
    assert _status(server, **{"x-api-key": "lsv2_pt_x"}) == 401


@pytest.mark.parametrize("scheme", ["langsmith", "langsmith-api-key"])
def test_the_header_of_studio_lets_nobody_in(server: Server, scheme: str) -> None:
    """Out of the box it lets anybody in on `langgraph dev`."""
    assert _status(server, **{"x-auth-scheme": scheme}) == 401
    assert _status(server, **{"x-auth-scheme": scheme, "x-user-id": "boss", "x-api-key": "lsv2_pt_x"}) == 401


def test_an_expired_and_a_revoked_token_let_nobody_in_from_that_moment_on(server: Server, sign_in: SignIn) -> None:
    expired, revoked = sign_in.token("ann"), sign_in.token("ann")
    assert (_status(server, expired), _status(server, revoked)) == (200, 200)

    *_, to_expire, to_revoke = json.loads(sign_in.ballast("token", "list", "--json").stdout)
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        connection.execute("UPDATE tokens SET expires_at = now() WHERE id = %s", (to_expire["id"],))
    told = sign_in.ballast("token", "revoke", to_revoke["id"], "--json")

    assert (_status(server, expired), _status(server, revoked)) == (401, 401)
    assert json.loads(told.stdout)["status"] == "revoked"
    assert "sign-in" not in told.stderr, "others are left: nothing has opened"


@pytest.mark.parametrize("path", ["/threads/search", "/runs/wait", "/assistants/search", "/store/items/search", "/mcp"])
def test_without_a_token_every_route_is_closed_and_says_how_to_get_in(server: Server, path: str) -> None:
    with client_of(server) as client:
        answer = client.post(path, json={})

    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("a token is needed: send 'Authorization: Bearer TOKEN'")


@pytest.mark.parametrize(
    "path", ["/internal/debug/thread/<THREAD>", "/deploy", "/internal/truncate", "/deploy/x/stream"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("who", ["nobody", "boss"])
def test_the_dev_servers_own_back_doors_are_closed(
    server: Server, clients: Clients, path: str, method: str, who: str
) -> None:
    thread = clients["ann"].post("/threads", json={}).json()["thread_id"]

    with client_of(server) as nobody:
        answer = {**clients, "nobody": nobody}[who].request(method, path.replace("<THREAD>", thread), json={})

    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    assert clients["ann"].get(f"/threads/{thread}").is_success


ADMINS_ONLY: list[tuple[str, str, Json]] = [
    ("POST", "/assistants", {"graph_id": "react"}),
    ("PATCH", "/assistants/<REACT>", {"metadata": {"a": 1}}),
    ("POST", "/assistants/<REACT>/latest", {"version": 1}),
    ("POST", "/runs/crons", {"assistant_id": "react", "schedule": "0 0 1 1 *"}),
    ("POST", "/runs/crons/search", {}),
    ("POST", "/runs/crons/count", {}),
    ("PUT", "/store/items", {"namespace": ["ann", "notes"], "key": "k", "value": {}}),
]


@pytest.mark.parametrize(("method", "path", "body"), ADMINS_ONLY)
def test_assistants_crons_and_others_memories_are_the_admins(
    clients: Clients, method: str, path: str, body: Json
) -> None:
    [react] = clients["bob"].post("/assistants/search", json={"graph_id": "react", "limit": 1}).json()
    path = path.replace("<REACT>", react["assistant_id"])

    assert clients["bob"].request(method, path, json=body).status_code == 403
    assert clients["boss"].request(method, path, json=body).is_success


def test_everybody_may_read_what_assistants_there_are(clients: Clients) -> None:
    [react] = clients["bob"].post("/assistants/search", json={"graph_id": "react", "limit": 1}).json()

    for path in ("", "/schemas", "/graph"):
        assert clients["bob"].get(f"/assistants/{react['assistant_id']}{path}").is_success


def test_memories_are_kept_under_ones_own_name(server: Server, sign_in: SignIn, clients: Clients) -> None:
    clients["ann"].put("/store/items", json={"namespace": ["ann", "x"], "key": "k", "value": {"of": "ann"}})
    with client_of(server, sign_in.token("bob.b@example.com")) as bob:
        own = ["bob%2Eb@example%2Ecom", "x"]  # a label of a namespace holds no period
        assert bob.put("/store/items", json={"namespace": own, "key": "k", "value": {"of": "bob"}}).is_success

        found = [bob.post("/store/items/search", json={"namespace_prefix": prefix}) for prefix in ([], own[:1])]
        listed = [bob.post("/store/namespaces", json=search).json() for search in ({}, {"suffix": ["x"]})]
        for foreign in (["ann"], ["ann", "x"], ["bob"]):
            assert bob.post("/store/items/search", json={"namespace_prefix": foreign}).status_code == 403
            assert bob.post("/store/namespaces", json={"prefix": foreign}).status_code == 403
        assert bob.get("/store/items", params={"namespace": "ann.x", "key": "k"}).status_code == 403
        gone: Json = {"namespace": ["ann", "x"], "key": "k"}
        assert bob.request("DELETE", "/store/items", json=gone).status_code == 403

    assert [[one["value"] for one in answer.json()["items"]] for answer in found] == [[{"of": "bob"}]] * 2
    assert listed == [{"namespaces": [own]}] * 2


def _decided_by(server: Server, asked: Asked) -> Json:
    query = "SELECT requester, decided_by FROM approvals WHERE thread_id = %s"
    with psycopg.connect(server.database_url) as connection:
        return connection.execute(query, (asked.thread,)).fetchone()


FORGED = {"langgraph_auth_user_id": "boss", "langgraph_auth_permissions": ["admin"], "user_id": "boss"}
USER = {"identity": "boss", "permissions": ["admin"]}


@pytest.mark.parametrize(
    "with_it",
    [
        {"config": {"configurable": {**FORGED, "langgraph_auth_user": USER}}},
        {"context": {key: value for key, value in FORGED.items() if key != "user_id"}},
        {"metadata": FORGED, "config": {"metadata": {**FORGED, "owner": "boss"}}},
        {"checkpoint": {"checkpoint_ns": "", **FORGED}},
    ],
    ids=["configurable", "context", "metadata", "checkpoint"],
)
def test_a_name_sent_along_is_not_whose_request_it_is(server: Server, clients: Clients, with_it: Json) -> None:
    asked = waiting(clients["ann"])
    command = {"resume": {asked.interrupt: REJECT}}

    ended = clients["ann"].post(
        f"/threads/{asked.thread}/runs/wait", json={"assistant_id": "react", "command": command, **with_it}
    )

    assert ended.json()["outcome"] == "completed", ended.text
    assert _decided_by(server, asked) == ("ann", "ann")


def test_nor_is_it_in_a_command_of_the_event_stream(server: Server, clients: Clients) -> None:
    asked = waiting(clients["ann"])
    params = {"interrupt_id": asked.interrupt, "response": REJECT, "config": {"configurable": FORGED}}

    sent = clients["ann"].post(
        f"/threads/{asked.thread}/commands", json={"id": 1, "method": "input.respond", "params": params}
    )
    [run, *_] = clients["ann"].get(f"/threads/{asked.thread}/runs").json()
    clients["ann"].get(f"/threads/{asked.thread}/runs/{run['run_id']}/join")

    assert sent.json()["type"] == "success"
    assert _decided_by(server, asked) == ("ann", "ann")


def test_no_client_writes_the_owner_of_a_thread(clients: Clients) -> None:
    ann, boss = clients["ann"], clients["boss"]
    forged: Json = {"metadata": {"owner": "bob", "a": 1}}

    made = ann.post("/threads", json=forged).json()
    patched = ann.patch(f"/threads/{made['thread_id']}", json={"metadata": {"owner": "bob", "b": 2}}).json()
    run = {"assistant_id": "react", "input": LIST, "if_not_exists": "create", **forged, "config": forged}
    by_run = str(uuid.uuid4())
    ann.post(f"/threads/{by_run}/runs/wait", json=run).raise_for_status()
    [copy, foreign_copy] = [client.post(f"/threads/{by_run}/copy").json() for client in (ann, boss)]

    assert made["metadata"] == {"owner": "ann", "a": 1}
    assert patched["metadata"] == {"owner": "ann", "a": 1, "b": 2}
    assert ann.get(f"/threads/{by_run}").json()["metadata"]["owner"] == "ann"
    assert [one["metadata"]["owner"] for one in (copy, foreign_copy)] == ["ann", "ann"]
    assert {one["metadata"]["owner"] for one in ann.get(f"/threads/{by_run}/runs").json()} == {"ann"}


def test_a_thread_stays_its_owners_although_postgres_has_no_sender_or_another(clients: Clients) -> None:
    ann, boss = clients["ann"], clients["boss"]
    by_hand, by_admin = (
        ann.post("/threads", json={"metadata": {"graph_id": "react"}}).json()["thread_id"] for _ in range(2)
    )
    words: Json = {"messages": [{"role": "user", "content": "list files"}]}
    ann.post(f"/threads/{by_hand}/state", json={"values": words, "as_node": "__start__"}).raise_for_status()
    boss.post(f"/threads/{by_admin}/runs/wait", json={"assistant_id": "react", "input": LIST}).raise_for_status()

    for thread in (by_hand, by_admin):
        run = ann.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "react", "input": LIST})
        assert run.json()["outcome"] == "completed"
        assert ann.get(f"/threads/{thread}").json()["metadata"]["owner"] == "ann"
        assert clients["bob"].get(f"/threads/{thread}").status_code == 404


def _once_found(client: httpx.Client, thread: str) -> Json:
    """A server that has just started may need a moment to learn of a thread from Postgres."""
    for _ in range(500):
        if (answer := client.get(f"/threads/{thread}")).is_success:
            return answer.json()
    pytest.fail("the server never heard of the thread")


def test_after_kill_9_threads_are_their_owners_again_also_copies_and_none_can_be_taken(
    server: Server, sign_in: SignIn, tokens: dict[str, str], clients: Clients
) -> None:
    asked, command_line = waiting(clients["ann"]), str(uuid.uuid4())
    copy = clients["ann"].post(f"/threads/{asked.thread}/copy").json()["thread_id"]
    sign_in.ballast("run", "list files", "--thread", command_line)
    taken = clients["bob"].post("/threads", json={"thread_id": command_line})

    server.kill()
    shutil.rmtree(server.folder / ".langgraph_api")  # what the server itself remembers
    server.start()

    with client_of(server, tokens["ann"]) as ann, client_of(server, tokens["bob"]) as bob:
        found = {one: _once_found(ann, one) for one in (asked.thread, copy)}
        with client_of(server, tokens["boss"]) as boss:
            found[command_line] = _once_found(boss, command_line)
        assert [one["metadata"]["owner"] for one in found.values()] == ["ann", "ann", person()]
        assert [bob.get(f"/threads/{one}").status_code for one in found] == [404] * 3
        resumed = ann.post(
            f"/threads/{asked.thread}/runs/wait",
            json={"assistant_id": "react", "command": {"resume": {asked.interrupt: REJECT}}},
        )
    assert resumed.json()["outcome"] == "completed"
    assert taken.status_code == 409
