"""Who looks at a page: the cookie of its login, and never what another site made a browser send."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from app.identity import identify, presented
from app.lifespan import Opened
from graph.errors import Forbidden
from graph.people import Person

TOKEN, CSRF = "ballast_token", "ballast_csrf"
"""The page's two cookies, by their names over plain HTTP."""

SENDABLE = re.compile(r"[!#-+\--:<-\[\]-~]{1,3800}")
"""What a cookie can hold (RFC 6265, 4.1.1). No token of ours, and no JWT, holds anything else."""


async def person_of(request: Request, opened: Opened) -> Person:
    """The person behind the page's cookie, or a token in the headers.

    Raises:
        Unauthorized: nobody is known by it.
        Forbidden: another site made the browser ask.
    """
    refuse_foreign(request)
    token = request.cookies.get(cookie_name(request, TOKEN)) or presented(request)
    return await identify(opened, request, token=token)


def refuse_foreign(request: Request) -> None:
    """Let no other site read or do anything with what a browser sends by itself, the loopback address included.

    Raises:
        Forbidden: another site made the browser ask.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site:  # a browser's own word, right also where a proxy has changed the Host; only over HTTPS and to loopback
        to_look = request.method in ("GET", "HEAD") and request.headers.get("sec-fetch-mode") == "navigate"
        foreign = site not in ("same-origin", "none") and not to_look
    else:
        foreign = origin is not None and _host_in(origin) != request.headers.get("host")
    if foreign:
        raise Forbidden("another site asked for this: open the page itself")


def _host_in(origin: str) -> str:
    """Empty when it can't be read."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def csrf_of(request: Request) -> str:
    """The value a form of this browser must hold; a new one when it has none yet."""
    known = request.cookies.get(cookie_name(request, CSRF), "")
    return known if SENDABLE.fullmatch(known) else secrets.token_urlsafe(32)


def check_csrf(request: Request, form: Mapping[str, str]) -> None:
    """Take a form only from a page of ours.

    Raises:
        Forbidden: it does not hold what the browser's cookie holds.
    """
    refuse_foreign(request)
    known, given = request.cookies.get(cookie_name(request, CSRF), ""), form.get("csrf", "")
    if not known or not hmac.compare_digest(known.encode(), given.encode()):
        raise Forbidden("this form is not from this page, or cookies are off: nothing was decided; load it anew")


def remember(response: Response, request: Request, name: str, value: str) -> None:
    """Set a cookie that no script reads and no other site's request carries; it ends with the browser."""
    response.set_cookie(
        cookie_name(request, name),
        value,
        path="/" if is_https(request) else "/inbox",
        secure=is_https(request),
        httponly=True,
        samesite="strict",
    )


def forget(response: Response, request: Request, name: str) -> None:
    """Take the cookie back."""
    secure = is_https(request)
    response.delete_cookie(
        cookie_name(request, name), path="/" if secure else "/inbox", secure=secure, httponly=True, samesite="strict"
    )


def cookie_name(request: Request, name: str) -> str:
    """Over HTTPS a browser lets nobody but this very host set it."""
    return f"__Host-{name}" if is_https(request) else name


def is_https(request: Request) -> bool:
    """Whether the browser speaks HTTPS, to us or to a proxy before us."""
    proxy = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return (proxy or request.url.scheme) == "https"
