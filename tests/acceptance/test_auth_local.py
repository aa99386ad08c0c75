"""A server on which nobody was given a token: open to this machine, and to nobody who only uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from app.person import person
from tests.acceptance.conftest import Ballast, Server, SignIn, client_of, one_line


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with client_of(server) as plain:
        yield plain


def _search(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.post("/threads/search", json={}, headers=headers)


def test_whoever_sits_at_this_machine_needs_no_token_and_the_server_says_so(
    server: Server, client: httpx.Client
) -> None:
    def said() -> int:
        log = (server.folder / "server.log").read_text()
        return log.count(f"sign-in: open on this machine: whoever asks from it is {person()}, an admin")

    made, once = client.post("/threads", json={"metadata": {"owner": "somebody"}}), said()
    client.post("/threads", json={})

    assert made.json()["metadata"] == {"owner": person()}
    assert once == said() > 0, "said when it starts or opens, not for each request"


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://smith.langchain.com", "https://agentchat.vercel.app", "http://[::1]:1"]
)
def test_local_pages_studio_and_the_public_chat_pages_may_ask(client: httpx.Client, origin: str) -> None:
    answer = _search(client, origin=origin)

    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"host": "evil.example"}, "its Host header does not name this machine: 'evil.example'"),
        ({"host": "localhost.evil.example:2024"}, "its Host header does not name this machine"),
        ({"origin": "https://evil.example"}, "not in BALLAST_ALLOWED_ORIGINS: 'https://evil.example'"),
        ({"origin": "null"}, "not in BALLAST_ALLOWED_ORIGINS: 'null'"),
        ({"origin": "https://evil.example", "x-auth-scheme": "langsmith"}, "not in BALLAST_ALLOWED_ORIGINS"),
        ({"x-forwarded-proto": "https"}, "it came through a proxy (header x-forwarded-proto)"),
        ({"forwarded": "for=127.0.0.1"}, "it came through a proxy (header forwarded)"),
        ({"via": "1.1 proxy"}, "it came through a proxy (header via)"),
    ],
)
def test_who_only_uses_this_machine_is_not_let_in(client: httpx.Client, headers: dict[str, str], why: str) -> None:
    answer = _search(client, **headers)

    assert answer.status_code == 401
    assert why in answer.json()["detail"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.5", "127.0.0.1, 10.0.0.5"])
def test_an_address_that_is_only_claimed_lets_nobody_in(client: httpx.Client, address: str) -> None:
    """The server's own web server takes `X-Forwarded-For` from this machine at its word."""
    assert _search(client, **{"x-forwarded-for": address}).status_code == 401


@pytest.mark.parametrize("authorization", ["Bearer bal_wrong", "Bearer x", "Basic YW5uOng=", "Bearer", ""])
def test_a_wrong_token_is_not_taken_for_none(client: httpx.Client, authorization: str) -> None:
    assert _search(client, authorization=authorization).status_code == 401
    assert _search(client).is_success


def test_a_langsmith_key_is_none_of_our_tokens(client: httpx.Client) -> None:
    """LangGraph's clients send one on their own when the environment has it."""
    assert _search(client, **{"x-api-key": "lsv2_pt_x"}).is_success


def test_a_page_can_not_reach_the_event_stream_around_it(server: Server, client: httpx.Client) -> None:
    """No browser asks before it opens a websocket: only the server can refuse another page's."""
    thread = client.post("/threads", json={}).json()["thread_id"]
    url = f"ws{server.url.removeprefix('http')}/threads/{thread}/stream/events"

    with connect(url, origin=Origin("http://localhost:3000")):
        pass
    with pytest.raises(InvalidStatus), connect(url, origin=Origin("https://evil.example")):
        pass


def test_the_first_token_closes_it_for_all_and_revoking_the_last_opens_it_and_says_so(
    client: httpx.Client, server: Server, sign_in: SignIn
) -> None:
    before = client.post("/threads", json={}).json()["thread_id"]
    ann = sign_in.token("ann")

    try:
        assert _search(client).status_code == 401
        assert _search(client, **{"x-auth-scheme": "langsmith"}).status_code == 401
        with client_of(server, ann) as hers, client_of(server, sign_in.token("boss", "admin")) as boss:
            assert hers.get(f"/threads/{before}").status_code == 404
            assert boss.get(f"/threads/{before}").is_success
    finally:  # others use this server too
        ids = [one["id"] for one in json.loads(sign_in.ballast("token", "list", "--json").stdout)]
        told = [sign_in.ballast("token", "revoke", one).stderr for one in ids]

    assert told[0] == ""
    assert f"sign-in: open on this machine: whoever asks from it is {person()}, an admin" in told[1]
    assert _search(client).is_success
    assert _search(client, authorization=f"Bearer {ann}").status_code == 401


def test_doctor_tells_whom_the_server_lets_in(ballast: Ballast) -> None:
    assert "sign-in\topen on this machine" in ballast("doctor").stdout

    ballast("token", "create", "ann", "--role", "user")

    assert "sign-in\tevery request needs a token (1 is valid)" in ballast("doctor").stdout


def test_a_token_is_shown_when_it_is_made_and_never_again(ballast: Ballast) -> None:
    made = ballast("token", "create", "ann", "--role", "approver", "--days", "7", "--json")
    token = json.loads(made.stdout)
    plain = ballast("token", "create", "bob", "--role", "user")

    listed = [ballast("token", "list").stdout, ballast("token", "list", "--json").stdout]

    assert set(token) == {
        "id", "name", "role", "status", "created_at", "expires_at", "revoked_at", "last_used_at", "token",
    }  # fmt: skip
    assert (plain.stdout.count("\n"), plain.stdout[:4]) == (1, "bal_")
    assert "It is not shown again" in plain.stderr
    secrets = (token["token"], plain.stdout.strip())
    assert not any(secret in text for secret in secrets for text in listed)
    assert [row["name"] for row in json.loads(listed[1])] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "oidc:ann", "--role", "user"], "a token's NAME is"),
        (["create", "ann", "--role", "boss"], "'boss' is not one of 'user', 'approver', 'admin'"),
        (["create", "ann"], "--role"),
        (["create", "ann", "--role", "user", "--days", "0"], "--days must be a whole number from 1 to 3650, got 0"),
        (["create", "ann", "--role", "user", "--days", "many"], "--days"),
        (["revoke", "tk-0"], "no token 'tk-0': see 'ballast token list'"),
        (["revoke"], "ID"),
    ],
)
def test_bad_input_is_one_line(ballast: Ballast, words: list[str], said: str) -> None:
    one_line(ballast("token", *words), 2, said)
