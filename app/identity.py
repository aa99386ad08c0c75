"""Who asks: a token's holder, a person an issuer vouches for, or whoever sits at this machine."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from app.lifespan import Opened
from app.loopback import doubt
from app.person import person as system_user
from checkpoints.tokens import PREFIX
from graph.errors import Unauthorized
from graph.people import Person

HOW = "send 'Authorization: Bearer TOKEN'; an admin makes one with 'ballast token create NAME --role ROLE'"


async def identify(opened: Opened, connection: HTTPConnection, *, token: str | None) -> Person:
    """The person behind a request.

    `token` is a bearer token or JWT, from the Authorization header (`presented`) or a page's cookie. A wrong one is
    never taken for none. Without one a request is let in from this machine only, as the system's user and an admin,
    and only while nobody was given a token and there is no issuer.

    Raises:
        Unauthorized: nobody is known by it.
        SignInUnavailable: the token's issuer can't be asked.
    """
    if token is None:
        return await _without_token(opened, connection)
    if token.startswith(PREFIX):
        held = await opened.tokens.use(token)
        return Person(name=held.name, role=held.role)
    if opened.issuer is None:
        raise Unauthorized(f"this token is none of ours (they begin with {PREFIX}), and no issuer is set")
    return await opened.issuer.person(token)


def presented(connection: HTTPConnection) -> str | None:
    """The token in a request's headers; None when it has none.

    LangGraph's clients and chat pages have a field for a key, which they send as `X-Api-Key`: one of our tokens is
    taken from there too. Anything else in it is meant for LangSmith, and nothing to us.

    Raises:
        Unauthorized: the Authorization header is not one bearer token.
    """
    sent = connection.headers.getlist("authorization")
    if not sent:
        key = connection.headers.get("x-api-key", "")
        return key if key.startswith(PREFIX) else None
    scheme, _, token = sent[0].partition(" ")
    if len(sent) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized(f"the Authorization header is not one bearer token: {HOW}")
    return token.strip()


async def _without_token(opened: Opened, connection: HTTPConnection) -> Person:
    if opened.issuer or await opened.tokens.asked_for():
        raise Unauthorized(f"a token is needed: {HOW}")
    if why := doubt(connection, opened.settings.allowed_origins):
        raise Unauthorized(f"without a token only this machine is let in, and {why}: {HOW}")
    return Person(name=system_user(), role="admin", local=True)
