"""What the server's own hook makes of a request; real servers are asked in tests/acceptance."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph_sdk import Auth
from langgraph_sdk.auth.types import AuthContext
from starlette.authentication import SimpleUser
from starlette.exceptions import HTTPException

from app import server
from app.auth import auth, authenticate, deny, label, person_of
from app.lifespan import Opened
from app.person import person
from graph.people import Person


@pytest.fixture
async def open_server(services: Opened) -> Opened:
    server._opened[asyncio.get_running_loop()] = services
    return services


def _scope(**headers: str) -> dict[str, Any]:
    sent = {"host": "localhost:2024", **headers}
    encoded = [(name.encode(), value.encode()) for name, value in sent.items()]
    return {"type": "http", "http_version": "1.1", "client": ("127.0.0.1", 5000), "headers": encoded}


def _context(*permissions: str) -> AuthContext:
    user: Any = SimpleUser("ann")
    return AuthContext(permissions=list(permissions), user=user, resource="threads", action="read")


async def test_the_user_is_the_person_and_the_role_the_one_permission(open_server: Opened) -> None:
    _, secret = await open_server.tokens.create("ann", "approver")

    assert await authenticate(_scope(authorization=f"Bearer {secret}")) == {
        "identity": "ann", "display_name": "ann", "is_authenticated": True, "permissions": ["approver"],
    }  # fmt: skip


async def test_on_this_machine_it_is_who_sits_there(open_server: Opened) -> None:
    assert (await authenticate(_scope()))["identity"] == person()


async def test_nobody_is_answered_with_401(open_server: Opened) -> None:
    with pytest.raises(Auth.exceptions.HTTPException) as refused:
        await authenticate(_scope(authorization="Bearer bal_x"))

    assert (refused.value.status_code, refused.value.detail) == (401, "this token is not known here")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer bal_x"}])
async def test_a_database_that_is_away_lets_nobody_in(open_server: Opened, headers: dict[str, str]) -> None:
    await open_server.pool.close()

    with pytest.raises(HTTPException) as refused:
        await authenticate(_scope(**headers))

    assert refused.value.status_code == 503
    assert "try again later" in refused.value.detail


@pytest.mark.parametrize(
    ("permissions", "role"), [(["admin"], "admin"), (["approver"], "approver"), ([], "user"), (["boss"], "user")]
)
def test_a_person_is_known_again_by_their_permission(permissions: list[str], role: Any) -> None:
    assert person_of(_context(*permissions)) == Person(name="ann", role=role)


async def test_what_has_no_handler_of_its_own_is_denied() -> None:
    assert auth._global_handlers == [deny]
    assert await deny(ctx=_context("admin"), value={}) is False
    resources = {(resource, "*") for resource in ("crons", "store")}
    threads = {("threads", action) for action in ("create", "create_run", "read", "update", "delete", "search")}
    assistants = {("assistants", action) for action in ("create", "read", "update", "delete", "search")}
    assert set(auth._handlers) == resources | threads | assistants


def test_labels_of_names_hold_no_period_and_differ_as_the_names_do() -> None:
    names = ["ann", "a.b", "a%2Eb", "a%b", "oidc:ann@example.com"]

    assert not any("." in label(name) for name in names)
    assert len({label(name) for name in names}) == len(names)
