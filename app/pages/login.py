"""Logging in with a token, and out."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.identity import identify
from app.pages import session
from app.pages.bodies import form_of
from app.pages.site import pages_of
from app.problems import status_of
from app.server import engine
from graph.errors import Unauthorized

HOME = "/inbox"


async def show(request: Request) -> Response:
    """GET /inbox/login[?next=PATH]."""
    return _form(request, request.query_params.get("next", HOME))


async def enter(request: Request) -> Response:
    """POST /inbox/login: keep the token in a cookie, if somebody is known by it."""
    form = await form_of(request)
    session.check_csrf(request, form)
    token, following = form.get("token", "").strip(), form.get("next", HOME)
    try:
        await identify(await engine(), request, token=_sendable(token))
    except Unauthorized as error:
        return _form(request, following, problem=str(error), status=status_of(error))
    response = RedirectResponse(_ours(following), HTTPStatus.SEE_OTHER)
    session.remember(response, request, session.TOKEN, token)
    return response


async def leave(request: Request) -> Response:
    """POST /inbox/logout."""
    session.check_csrf(request, await form_of(request))
    response = RedirectResponse("/inbox/login", HTTPStatus.SEE_OTHER)
    session.forget(response, request, session.TOKEN)
    return response


def _form(request: Request, following: str, *, problem: str = "", status: int = HTTPStatus.OK) -> Response:
    csrf = session.csrf_of(request)
    values = {"csrf": csrf, "next": _ours(following), "problem": problem}
    response = pages_of(request).respond("login.html", values, status=status)
    session.remember(response, request, session.CSRF, csrf)
    return response


def _sendable(token: str) -> str:
    if not session.SENDABLE.fullmatch(token):
        raise Unauthorized("this is no token" if token else "enter a token")
    return token


def _ours(address: str) -> str:
    """A page of ours to go on to, whatever a link says."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return HOME
    inside = parts.path == HOME or parts.path.startswith(f"{HOME}/")
    plain = not parts.scheme and not parts.netloc and "\\" not in address and address.isprintable()
    return parts.path if inside and plain else HOME
