"""What every route of ours has: its headers, and errors as pages or JSON. The server's other routes keep their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.pages.rendering import Pages
from app.problems import STATUS, status_of
from graph.errors import SignInUnavailable, Unauthorized

Endpoint = Callable[[Request], Awaitable[Response]]

PART = "x-part"
"""A header by which the page's own script asks for a part of a page. No other site's page can send it."""

AWAY = "the database does not answer: nothing was decided; try again in a moment"

HEADERS = {
    # Not `no-referrer`: under it browsers send `Origin: null` with a form, and there would be nothing to check.
    "referrer-policy": "same-origin",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Headers:
    """Adds the headers above to whatever an app answers; a header it has set itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; add to the start of the answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(one for one in added if one[0] not in known)]
            await send(message)

        await self._app(scope, receive, with_headers)


def page(path: str, endpoint: Endpoint, *methods: str) -> Route:
    """A route of the pages."""
    return _route(path, endpoint, _page_of, methods)


def program(path: str, endpoint: Endpoint, *methods: str) -> Route:
    """A route of the JSON API; what goes wrong is {"detail"}."""
    return _route(path, endpoint, _json_of, methods)


def pages_of(request: Request) -> Pages:
    """The templates the server's app holds."""
    pages: Pages = request.app.state.pages
    return pages


def told(error: Exception) -> str:
    """What a person is told of it."""
    if isinstance(error, HTTPException):
        return error.detail
    away = status_of(error) == HTTPStatus.SERVICE_UNAVAILABLE and not isinstance(error, SignInUnavailable)
    return AWAY if away else str(error)  # a database's own words may name hosts


def _route(
    path: str,
    endpoint: Endpoint,
    failed: Callable[[Request, Exception], Awaitable[Response]],
    methods: tuple[str, ...],
) -> Route:
    handlers = dict.fromkeys([HTTPException, *STATUS], failed)
    return Route(
        path,
        endpoint,
        methods=list(methods or ("GET",)),
        middleware=[Middleware(Headers), Middleware(ExceptionMiddleware, handlers=handlers)],
        include_in_schema=False,
    )


def _status(error: Exception) -> int:
    return error.status_code if isinstance(error, HTTPException) else status_of(error)


async def _page_of(request: Request, error: Exception) -> Response:
    status, part, pages = _status(error), PART in request.headers, pages_of(request)
    if isinstance(error, Unauthorized) and status == HTTPStatus.UNAUTHORIZED and request.method == "GET" and not part:
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A link on another site: the browser has kept the cookie back. Asked from here it sends it.
            return pages.respond("bounce.html", {"address": request.url.path})
        return RedirectResponse(f"/inbox/login?{urlencode({'next': request.url.path})}", HTTPStatus.SEE_OTHER)
    values = {"status": status, "phrase": HTTPStatus(status).phrase, "message": told(error)}
    return pages.respond("fault.html" if part else "error.html", values, status=status)


async def _json_of(_request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": told(error)}, _status(error))
