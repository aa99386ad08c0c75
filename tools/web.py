"""Fetching a page from the public web."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urljoin

import httpx

from graph.errors import ToolFailed, Unreadable
from tools.base import Injected, tool
from tools.text import decoded

MAX_BYTES = 500_000
TIMEOUT_S = 20.0
"""Longest wait for the next piece of an answer."""
WHOLE_S = 40.0
"""Longest a page may take, its redirects included: one that drips would never be waited for too long."""
REDIRECTS = 5
GZIP_OR_ZLIB = 47
"""`wbits` of zlib: the largest window, format told by the data."""

# Python counts these as global; a request to them can end inside a private network or at a cloud's metadata service.
NOT_PUBLIC = tuple(
    ipaddress.ip_network(block)
    for block in (
        "192.0.0.0/24",  # protocol assignments: RFC 6890, Oracle's metadata service
        "168.63.129.16/32",  # Azure's host services
        "2001::/23",  # Teredo and others, RFC 2928
        "2002::/16",  # 6to4 wraps any IPv4 address, RFC 3056
    )
)
UNICAST = ipaddress.ip_network("2000::/3")
"""The one part of IPv6 that is given out for the public internet (RFC 4291, 2.4)."""


def _host(args: Mapping[str, Any]) -> str:
    return httpx.URL(str(args["url"])).host


@tool(risk="low", untrusted_output=True, idempotent=True, host=_host, exits=True)
async def fetch_url(url: str, context: Injected) -> str:  # noqa: ARG001 - every tool may have it
    """Fetch a web page or text file from the public internet.

    Args:
        url: An http or https address.
    """
    return await _fetched(url, public_address)


async def _fetched(url: str, addressed: Callable[[str], Awaitable[str]], *, seconds: float = WHOLE_S) -> str:
    """The page, redirects followed; each address comes from `addressed`, which raises when it is not allowed."""
    # A connection is never used twice: it was checked for one host only.
    once = httpx.Limits(max_keepalive_connections=0)
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=TIMEOUT_S, limits=once, trust_env=False) as client,
        ):
            for _ in range(REDIRECTS + 1):
                address = await addressed(url)
                text, url = await _get(client, url, address)
                if not url:
                    return text
    except TimeoutError:
        raise Unreadable(f"{url} did not end within {seconds:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ToolFailed(f"can't fetch {url}: {type(error).__name__}") from None
    raise ToolFailed(f"more than {REDIRECTS} redirects")


async def _get(client: httpx.AsyncClient, url: str, address: str) -> tuple[str, str]:
    """(text, "") or ("", where it redirects to). Connects to the checked address, whatever DNS says by now."""
    asked = httpx.URL(url)
    target = asked.copy_with(host=address, userinfo=b"")
    headers = {"host": asked.netloc.decode(), "accept-encoding": "identity"}
    name = {"sni_hostname": asked.raw_host.decode()}
    async with client.stream("GET", target, headers=headers, extensions=name) as response:
        if response.has_redirect_location:
            return "", urljoin(url, response.headers["location"])
        if not response.is_success:
            raise ToolFailed(f"{url} answered {response.status_code}")
        data = b""
        async for chunk in response.aiter_raw():
            data += chunk
            if len(data) > MAX_BYTES:
                break
    text = decoded(_unpacked(url, response, data[:MAX_BYTES]), response.charset_encoding)
    if "\0" in text:
        raise Unreadable(f"{url} is no text")
    return text, ""


def _unpacked(url: str, response: httpx.Response, data: bytes) -> bytes:
    """A server may compress without being asked; a small reply must not unpack to gigabytes."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return data
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise Unreadable(f"{url} answered with content-encoding {encoding!r:.80}")
    try:
        return zlib.decompressobj(GZIP_OR_ZLIB).decompress(data, MAX_BYTES)
    except zlib.error:
        raise Unreadable(f"{url} answered with broken compression") from None


async def public_address(url: str) -> str:
    """An address the URL's host resolves to, if all of them are public.

    Raises:
        ToolFailed: another scheme, an unknown host, or an address inside a private network.
    """
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise ToolFailed(f"{url!r} is no http or https address: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise ToolFailed(f"{url!r} is no http or https address")
    port, host = parts.port or (443 if parts.scheme == "https" else 80), parts.raw_host.decode()
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, OverflowError):
        raise ToolFailed(f"there is no host {host!r}") from None
    addresses = [str(one[4][0]) for one in found]
    if not all(map(_is_public, addresses)):
        raise ToolFailed(f"{host} is not on the public internet: only public addresses are fetched")
    return addresses[0]


def _is_public(address: str) -> bool:
    if "%" in address:  # an address of one network link
        return False
    one = ipaddress.ip_address(address)
    given_out = one in UNICAST if one.version == 6 else not one.is_multicast  # noqa: PLR2004
    return given_out and one.is_global and not any(one in block for block in NOT_PUBLIC)
