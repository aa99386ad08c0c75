"""What the inbox and its JSON API can't take: wrong shapes, sizes, forged forms, other sites. Nothing is decided."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from tests.acceptance.conftest import ORDER
from tests.acceptance.desk import Desk, csrf_in


@pytest.fixture
async def http(desk: Desk) -> AsyncIterator[AsyncClient]:
    async with desk.http() as client:
        yield client


@pytest.mark.parametrize(
    ("decision", "status", "said"),
    [
        ({"type": "done"}, 422, "use one of approve, edit, reject, respond, cancel"),
        ({"type": "burn"}, 422, "burn is no decision"),
        ({"type": 7}, 422, "a decision has a type"),
        ({}, 422, "a decision has a type"),
        ({"type": "reject", "message": ["no"]}, 422, "may have a message"),
        ({"type": "reject", "message": "no\0"}, 422, "can't be stored"),
        ({"type": "edit"}, 422, "needs the new arguments"),
        ({"type": "edit", "args": {"item": "\0"}}, 422, "can't be stored"),
        ({"type": "edit", "args": {"quantity": "many"}}, 422, "quantity"),
        ({"type": "edit", "args": {"quantity": 2, "who": "me"}}, 422, "takes no who"),
        ({"type": "approve", "answer": 1}, 400, "no field 'answer'"),
    ],
)
async def test_an_answer_of_the_wrong_shape_decides_nothing(
    desk: Desk, decision: dict[str, Any], status: int, said: str
) -> None:
    asked = desk.insert("place_order", ORDER["args"])

    answer = await desk.decide(asked, **decision)

    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert desk.row(asked)["status"] == "pending"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'"approve"', "application/json", 400),
        (b'{"type": "respond", "message": "\\ud800"}', "application/json", 400),
        (b'{"type": "edit", "args": {"quantity": NaN}}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"type": "approve"}', "text/plain", 415),
        (b'{"type": "approve", "message": "' + b"x" * 1_000_000 + b'"}', "application/json", 413),
    ],
)
async def test_a_body_that_can_not_be_taken_is_told_so(
    desk: Desk, http: AsyncClient, body: bytes, kind: str, status: int
) -> None:
    asked = desk.insert("place_order", ORDER["args"])

    answer = await http.post(f"/approvals/{asked}", content=body, headers={"content-type": kind})

    assert answer.status_code == status
    assert answer.json()["detail"]
    assert desk.row(asked)["status"] == "pending"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("csrf={csrf}&type=approve&type=cancel", "application/x-www-form-urlencoded", 400),
        ("csrf={csrf}&type", "application/x-www-form-urlencoded", 400),
        ("csrf={csrf}&type=%ff", "application/x-www-form-urlencoded", 400),
        ("csrf={csrf}&" + "&".join(f"a{at}=" for at in range(500)), "application/x-www-form-urlencoded", 400),
        ("csrf={csrf}&type=approve", "multipart/form-data", 415),
        ("csrf={csrf}&type=edit&arg.item=" + "x" * 1_000_000, "application/x-www-form-urlencoded", 413),
        ("csrf={csrf}&type=edit&arg.item=" + "x" * 20_000_000, "application/x-www-form-urlencoded", 413),
        ("csrf={csrf}&type=", "application/x-www-form-urlencoded", 422),
        ("csrf={csrf}&type=respond&message=", "application/x-www-form-urlencoded", 422),
    ],
)
async def test_a_form_that_can_not_be_taken_is_told_so(
    desk: Desk, http: AsyncClient, body: str, kind: str, status: int
) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    csrf = csrf_in((await http.get(f"/inbox/{asked}")).text)

    content = body.replace("{csrf}", csrf)
    answer = await http.post(f"/inbox/{asked}", content=content, headers={"content-type": kind})

    assert answer.status_code == status
    assert desk.row(asked)["status"] == "pending"


def test_a_client_that_reads_no_answer_before_it_has_sent_all_is_told_too(desk: Desk) -> None:
    """Browsers do so. Cut off while they send, they show a broken connection."""
    size = 4_000_000
    head = f"POST /approvals/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {size}"
    with socket.create_connection(("127.0.0.1", desk.server.port), timeout=60) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        for _ in range(size // 1_000):
            connection.sendall(b" " * 1_000)
        answer = connection.recv(1_000)

    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("forged", ["", "x" * 43, "é"])
async def test_a_form_without_the_browsers_own_value_is_refused(desk: Desk, http: AsyncClient, forged: str) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    await http.get("/inbox")

    answer = await http.post(f"/inbox/{asked}", data={"csrf": forged, "type": "approve"})

    assert answer.status_code == 403
    assert desk.row(asked)["status"] == "pending"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_what_another_site_makes_a_browser_send_is_refused(
    desk: Desk, http: AsyncClient, headers: dict[str, str]
) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    csrf = csrf_in((await http.get(f"/inbox/{asked}")).text)

    answer = await http.post(f"/inbox/{asked}", data={"csrf": csrf, "type": "approve"}, headers=headers)
    look = await http.get(f"/inbox/{asked}", headers=headers)

    assert answer.status_code in (401, 403)
    assert desk.row(asked)["status"] == "pending"
    assert look.status_code in (303, 403)
    assert "Desk lamp" not in look.text


async def test_an_address_to_go_on_to_that_can_not_be_read_leads_home(http: AsyncClient) -> None:
    answer = await http.get("/inbox/login", params={"next": "//["})

    assert (answer.status_code, answer.headers.get("location", "/inbox")) in {(200, "/inbox"), (303, "/inbox")}
    assert "//[" not in answer.text
