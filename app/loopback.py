"""Whether a request without a token comes from this machine, and from nobody who only uses it."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from services.addresses import is_loopback

FORWARDED = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
"""Headers of proxies and tunnels, beside all that begin with `x-forwarded`."""


def doubt(connection: HTTPConnection, origins: Collection[str]) -> str | None:
    """Why the request may come from elsewhere; None when it comes from this machine.

    The address alone says little: a proxy on this machine has it, and so has a browser here, which sends what any
    page asks it to. `origins` are the pages that may.
    """
    client = connection.client.host if connection.client else ""
    if not is_loopback(client):
        return f"it comes from {client or 'an unknown address'}"
    if name := _forwarded(connection):
        return f"it came through a proxy (header {name})"
    if connection.scope.get("http_version") == "1.0":  # what nginx speaks to what it hides, if not told otherwise
        return "it came through a proxy (HTTP/1.0)"
    hosts = connection.headers.getlist("host")
    if len(hosts) != 1 or not is_loopback(_host(hosts[0])):  # else any name that is made to resolve here would do
        return f"its Host header does not name this machine: {', '.join(hosts)!r:.200}"
    for origin in connection.headers.getlist("origin"):
        if origin.lower() not in origins and not _is_local(origin):
            return f"the page it comes from is not in BALLAST_ALLOWED_ORIGINS: {origin!r:.200}"
    return None


def _forwarded(connection: HTTPConnection) -> str | None:
    names = (name.lower() for name in connection.headers)
    return next((name for name in names if name in FORWARDED or name.startswith("x-forwarded")), None)


def _host(header: str) -> str:
    """A Host header without its port."""
    host, colon, port = header.rpartition(":")
    return host if colon and (port.isdecimal() or not port) and not host.endswith(":") else header


def _is_local(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and is_loopback(host)
