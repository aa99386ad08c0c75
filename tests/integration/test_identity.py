"""Who asks: tokens of a real Postgres, JWTs of a real issuer, and this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from app.doctor import examine
from app.identity import identify, presented
from app.lifespan import Opened, opened
from app.person import person
from app.standing import standing
from graph.errors import SignInUnavailable, Unauthorized
from graph.people import Person
from services.settings import load
from tests.integration.oidc_issuer import AUDIENCE, DISCOVERY, Published, published

NEEDED = "a token is needed: send 'Authorization: Bearer TOKEN'"


def _connection(*headers: tuple[str, str], client: str = "127.0.0.1") -> HTTPConnection:
    sent = [("host", "localhost:2024"), *headers]
    encoded = [(name.encode(), value.encode()) for name, value in sent]
    return HTTPConnection({"type": "http", "http_version": "1.1", "client": (client, 5000), "headers": encoded})


@pytest.fixture
def issuer() -> Iterator[Published]:
    with published() as one:
        yield one


@pytest.fixture
async def federated(database_url: str, tmp_path: Path, issuer: Published) -> AsyncIterator[Opened]:
    """A process that believes the issuer."""
    settings = load(
        database_url=database_url,
        home=tmp_path / "home",
        openai_api_key=None,
        oidc_issuer=issuer.url,
        oidc_audience=AUDIENCE,
    )
    async with opened(settings) as everything:
        yield everything


async def test_without_any_token_whoever_sits_at_this_machine_is_an_admin(services: Opened) -> None:
    found = await identify(services, _connection(), token=None)

    assert found == Person(name=person(), role="admin", local=True)


@pytest.mark.parametrize(
    ("headers", "client", "why"),
    [
        ([], "10.0.0.5", "it comes from 10.0.0.5"),
        ([("x-forwarded-for", "127.0.0.1")], "127.0.0.1", "it came through a proxy"),
        ([("origin", "https://evil.example")], "127.0.0.1", "not in BALLAST_ALLOWED_ORIGINS"),
        ([("host", "evil.example")], "127.0.0.1", "does not name this machine"),
    ],
)
async def test_nobody_else_is_without_one(
    services: Opened, headers: list[tuple[str, str]], client: str, why: str
) -> None:
    with pytest.raises(Unauthorized, match=rf"without a token only this machine is let in, and .*{why}"):
        await identify(services, _connection(*headers, client=client), token=None)


async def test_a_token_lets_in_from_anywhere_as_its_name_and_role(services: Opened) -> None:
    _, secret = await services.tokens.create("ann", "approver")
    anywhere = _connection(("origin", "https://evil.example"), ("x-forwarded-for", "10.1.1.1"), client="10.0.0.5")

    assert await identify(services, anywhere, token=secret) == Person(name="ann", role="approver")


async def test_from_the_first_token_on_everybody_needs_one(services: Opened) -> None:
    made, _ = await services.tokens.create("ann", "user")

    with pytest.raises(Unauthorized, match=NEEDED):
        await identify(services, _connection(), token=None)
    await services.tokens.revoke(made.id)

    assert (await identify(services, _connection(), token=None)).local


async def test_an_expired_token_is_refused_and_opens_nothing(services: Opened) -> None:
    _, secret = await services.tokens.create("ann", "admin")
    async with services.pool.connection() as connection:
        await connection.execute("UPDATE tokens SET expires_at = now()")

    with pytest.raises(Unauthorized, match="expired on"):
        await identify(services, _connection(), token=secret)
    with pytest.raises(Unauthorized, match=NEEDED):
        await identify(services, _connection(), token=None)


@pytest.mark.parametrize("token", ["bal_wrong", "wrong", "", " ", "eyJhbGciOiJub25lIn0.e30.", "null", "undefined"])
async def test_a_wrong_token_is_never_taken_for_none(services: Opened, token: str) -> None:
    """Although without one this very connection would be let in."""
    with pytest.raises(Unauthorized):
        await identify(services, _connection(), token=token)


async def test_a_jwt_lets_its_subject_in_whose_name_no_token_can_have(federated: Opened, issuer: Published) -> None:
    _, secret = await federated.tokens.create("ann", "user")

    by_issuer = await identify(federated, _connection(client="10.0.0.5"), token=issuer.sign(roles=["approver"]))
    by_token = await identify(federated, _connection(client="10.0.0.5"), token=secret)

    assert by_issuer == Person(name="oidc:ann", role="approver")
    assert by_token == Person(name="ann", role="user")


async def test_with_an_issuer_this_machine_needs_a_token_too(federated: Opened) -> None:
    with pytest.raises(Unauthorized, match=NEEDED):
        await identify(federated, _connection(), token=None)


async def test_an_issuer_that_is_away_lets_nobody_in(federated: Opened, issuer: Published) -> None:
    del issuer.documents[DISCOVERY]

    with pytest.raises(SignInUnavailable, match="can't be asked for its keys"):
        await identify(federated, _connection(), token=issuer.sign())


async def test_without_an_issuer_a_jwt_is_nothing(services: Opened, issuer: Published) -> None:
    with pytest.raises(Unauthorized, match="this token is none of ours"):
        await identify(services, _connection(), token=issuer.sign())


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([], None),
        ([("authorization", "Bearer bal_x")], "bal_x"),
        ([("authorization", "bearer   bal_x ")], "bal_x"),
        ([("authorization", "Bearer a.b.c"), ("x-api-key", "bal_x")], "a.b.c"),
        ([("x-api-key", "bal_x")], "bal_x"),
        ([("x-api-key", "lsv2_pt_x")], None),
        ([("x-api-key", "")], None),
    ],
)
def test_the_token_is_read_from_the_headers_clients_send(headers: list[tuple[str, str]], token: str | None) -> None:
    assert presented(_connection(*headers)) == token


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Basic YW5uOng=")],
        [("authorization", "bal_x")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "")],
        [("authorization", "Bearer bal_x"), ("authorization", "Bearer bal_y")],
        [("authorization", "Basic x"), ("x-api-key", "bal_x")],
    ],
)
def test_another_authorization_is_not_taken_for_none(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(Unauthorized, match="the Authorization header is not one bearer token"):
        presented(_connection(*headers))


async def test_a_process_says_whom_it_lets_in(services: Opened) -> None:
    assert await standing(services) == (
        f"open on this machine: whoever asks from it is {person()}, an admin, and needs no token; nobody else is let "
        "in. The first 'ballast token create NAME --role admin' ends that"
    )
    await services.tokens.create("ann", "user")
    assert await standing(services) == "every request needs a token (1 is valid)"
    await services.tokens.create("bob", "user")
    assert await standing(services) == "every request needs a token (2 are valid)"


async def test_so_does_one_with_an_issuer(federated: Opened, issuer: Published) -> None:
    assert await standing(federated) == f"every request needs a JWT of {issuer.url}"
    await federated.tokens.create("ann", "user")
    assert await standing(federated) == f"every request needs a token (1 is valid) or a JWT of {issuer.url}"


async def test_doctor_says_it_and_asks_the_issuer(federated: Opened, issuer: Published) -> None:
    rows = {row["check"]: row for row in await examine(federated)}
    assert rows["sign-in"]["status"] == f"every request needs a JWT of {issuer.url}"
    assert (rows["issuer"]["ok"], rows["issuer"]["status"]) == (True, f"ok: {issuer.url}")

    issuer.documents.clear()
    assert federated.issuer is not None
    federated.issuer._keys = None
    rows = {row["check"]: row for row in await examine(federated)}

    assert not rows["issuer"]["ok"]
    assert "can't be asked for its keys" in rows["issuer"]["status"]
