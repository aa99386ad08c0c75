"""Web addresses an operator allows, by how they begin. Pure.

An address is a way out: what a stranger may choose of it leaves the house. So the scheme and the host are exact, the
path goes on by whole segments, and a query has no other keys than the entry names, with values that are shown to come
from somebody trusted. What two readers could read in two ways is not allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

import httpx

MAX_CHARS = 2_000

# A backslash is a slash to some, what follows a space is dropped or not, and %2f, %25 or %00 are decoded twice by some.
_TWO_WAYS = re.compile(r"[\s\\\x00-\x1f\x7f]|%(?:00|25|2f|5c)", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """How an allowed address begins."""

    scheme: str
    host: str
    """As DNS is asked: lower case, ASCII."""
    port: int
    segments: tuple[str, ...]
    keys: tuple[str, ...]
    """Those a query may have."""


def as_allowed(written: str) -> Allowed:
    """An entry as it is written, such as `https://wiki.example.org/pages` or `https://wiki.example.org/find?q=`.

    Raises:
        ValueError: it is none; says what to write.
    """
    told = "write https://HOST/PATH, or https://HOST/PATH?KEY=&KEY= for a query, without a password or a fragment"
    url = _read(written)
    if url is None:
        raise ValueError(told)
    query = _query(url)
    if query is None or any(value for _, value in query):
        raise ValueError(told)
    segments = _segments(url)
    while segments and not segments[-1]:
        segments = segments[:-1]
    return Allowed(
        scheme=url.scheme,
        host=url.raw_host.decode(),
        port=_port(url),
        segments=segments,
        keys=tuple(key for key, _ in query),
    )


def allowed_url(value: str, allowed: Allowed, shown: Callable[[str], bool]) -> bool:
    """Whether the address begins so, and all else in it is the operator's or shown."""
    url = _read(value)
    if url is None or (url.scheme, url.raw_host.decode(), _port(url)) != (allowed.scheme, allowed.host, allowed.port):
        return False
    if _segments(url)[: len(allowed.segments)] != allowed.segments:
        return False
    query = _query(url)
    if query is None:
        return False
    keys = [key for key, _ in query]
    return set(keys) <= set(allowed.keys) and len(set(keys)) == len(keys) and all(shown(one) for _, one in query if one)


def _read(written: str) -> httpx.URL | None:
    """The address as it would be fetched; None when it is none, or can be read in two ways."""
    if len(written) > MAX_CHARS or _TWO_WAYS.search(written):
        return None
    try:
        url = httpx.URL(written)
        port = url.port
    except (httpx.InvalidURL, ValueError):
        return None
    # As it is written, before dots are resolved: where `..` leads is for whoever is asked to say.
    host, _, path = written.partition("://")[2].partition("?")[0].partition("/")
    if url.scheme not in _PORTS or not url.host or "@" in host or "#" in written or port == 0:
        return None
    names = [unquote(one).partition(";")[0] for one in path.split("/")]
    return None if {".", ".."} & set(names) or "" in names[:-1] else url


def _port(url: httpx.URL) -> int:
    return url.port or _PORTS[url.scheme]


def _segments(url: httpx.URL) -> tuple[str, ...]:
    path = url.raw_path.partition(b"?")[0].decode()
    return tuple(path.removeprefix("/").split("/"))


def _query(url: httpx.URL) -> list[tuple[str, str]] | None:
    """Its (key, value) pairs; None when it has something else."""
    if not url.query:
        return None if "?" in str(url) else []
    try:
        return parse_qsl(
            url.query.decode(), keep_blank_values=True, strict_parsing=True, encoding="utf-8", errors="strict"
        )
    except (ValueError, UnicodeError):
        return None
