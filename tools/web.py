"""Fetching a page from the public web."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urljoin, urlsplit

import httpx

from graph.errors import ToolFailed
from tools.base import Injected, tool

MAX_BYTES = 500_000
TIMEOUT_S = 20.0
REDIRECTS = 5


@tool(risk="low", untrusted_output=True, idempotent=True)
async def fetch_url(url: str, context: Injected) -> str:  # noqa: ARG001 - every tool may have it
    """Fetch a web page or text file from the public internet.

    Args:
        url: An http or https address.
    """
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
            for _ in range(REDIRECTS + 1):
                address = await public_address(url)
                text, url = await _get(client, url, address)
                if not url:
                    return text
    except httpx.HTTPError as error:
        raise ToolFailed(f"can't fetch {url}: {type(error).__name__}") from None
    raise ToolFailed(f"more than {REDIRECTS} redirects")


async def _get(client: httpx.AsyncClient, url: str, address: str) -> tuple[str, str]:
    """(text, "") or ("", where it redirects to). Connects to the checked address, whatever DNS says by now."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    literal = f"[{address}]" if ":" in address else address
    target = parts._replace(netloc=f"{literal}:{parts.port}" if parts.port else literal).geturl()
    headers = {"host": parts.netloc.rpartition("@")[2], "accept-encoding": "identity"}
    async with client.stream("GET", target, headers=headers, extensions={"sni_hostname": host}) as response:
        if response.is_redirect:
            return "", urljoin(url, response.headers.get("location", ""))
        if response.is_error:
            raise ToolFailed(f"{url} answered {response.status_code}")
        data = b""
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > MAX_BYTES:
                break
    if b"\0" in data:
        raise ToolFailed(f"{url} is no text")
    return data[:MAX_BYTES].decode(response.encoding or "utf-8", "replace"), ""


async def public_address(url: str) -> str:
    """An address the URL's host resolves to, if all of them are public.

    Raises:
        ToolFailed: another scheme, an unknown host, or an address inside a private network.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ToolFailed(f"{url!r} is no http or https address")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError):
        raise ToolFailed(f"there is no host {parts.hostname!r}") from None
    addresses = [str(one[4][0]) for one in found]
    for address in addresses:
        if not ipaddress.ip_address(address.partition("%")[0]).is_global:
            raise ToolFailed(f"{parts.hostname} is not on the public internet: only public addresses are fetched")
    return addresses[0]
