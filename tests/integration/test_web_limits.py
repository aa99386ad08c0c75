"""What a fetched page may cost: time, memory, and where a name leads when it is asked twice."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from graph.errors import ToolFailed, Unreadable
from tools import web

OK = b"HTTP/1.1 200 OK\r\n"


async def _loopback(url: str) -> str:
    """Stands in for the check that would refuse our own server."""
    assert "nowhere.invalid" in url
    return "127.0.0.1"


@asynccontextmanager
async def _serving(*pieces: bytes, ends: bool = True) -> AsyncIterator[tuple[str, list[str]]]:
    """The address of a server that sends these pieces, and then ends or keeps silent; and what it was asked."""
    asked: list[str] = []
    over, ended = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if not ends:
                await over.wait()
        except (ConnectionError, EOFError):
            asked.append("hung up")
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://nowhere.invalid:{server.sockets[0].getsockname()[1]}/", asked
        over.set()
        if asked:
            await ended.wait()


@pytest.mark.parametrize(
    "begun",
    [
        (),
        (OK,),
        (OK, b"Set-Cookie: a=b\r\n"),
        (OK, b"\r\n", b"a page that beg"),
        (OK, b"Content-Length: 9\r\n\r\n", b"x"),
    ],
)
async def test_a_server_that_begins_and_never_ends_is_left(begun: tuple[bytes, ...]) -> None:
    async with _serving(*begun, ends=False) as (url, _):
        with pytest.raises(Unreadable, match=r"could not be read safely: .* did not end within 1 s"):
            await web._fetched(url, _loopback, seconds=1)


async def test_the_time_is_that_of_all_redirects_together() -> None:
    async def never(url: str) -> str:
        if url.endswith("/next"):
            await asyncio.Event().wait()
        return "127.0.0.1"

    async with _serving(b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n") as (url, asked):
        with pytest.raises(Unreadable, match=r"/next did not end within 1 s"):
            await web._fetched(url, never, seconds=1)

    assert len(asked) == 1


@pytest.mark.parametrize(
    "headers", [b"X-Long: " + b"x" * 500_000 + b"\r\n", b"X: y\r\n" * 200_000, b" folded\r\n" * 100_000]
)
async def test_headers_without_end_are_refused(headers: bytes) -> None:
    async with _serving(OK, headers, b"\r\n", b"hi") as (url, _):
        with pytest.raises(ToolFailed, match="RemoteProtocolError"):
            await web._fetched(url, _loopback)


async def test_a_page_without_end_is_left_when_it_is_full() -> None:
    async with _serving(OK, b"\r\n", *[b"x" * 65_536] * 400) as (url, asked):
        text = await web._fetched(url, _loopback)

    assert len(text) == web.MAX_BYTES
    assert asked[1:] == ["hung up"]


def _bomb() -> bytes:
    inner = gzip.compress(b"\0" * 200_000_000)
    return OK + b"Content-Encoding: gzip\r\n\r\n" + inner


@pytest.mark.parametrize(
    ("made", "told"), [(_bomb, "is no text"), (lambda: _bomb().replace(b"gzip", b"gzip, gzip", 1), "content-encoding")]
)
async def test_a_bomb_takes_no_more_memory_than_a_page(made: Callable[[], bytes], told: str) -> None:
    async with _serving(made()) as (url, _):
        tracemalloc.start()
        try:
            with pytest.raises(Unreadable, match=told):
                await web._fetched(url, _loopback)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak < 8_000_000


def _resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A name server whose answer changes: who asked what."""
    asked: list[str] = []
    left = iter(answers)

    async def getaddrinfo(host: str, *_args: Any, **_named: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", (address, 0)) for address in next(left)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "answer",
    [
        ["8.8.8.8", "10.0.0.1"],
        ["10.0.0.1", "8.8.8.8"],
        ["8.8.8.8", "::ffff:169.254.169.254"],
        ["2606:4700::1111", "fd00:ec2::254"],
    ],
)
async def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, answer: list[str]) -> None:
    _resolving(monkeypatch, answer)

    with pytest.raises(ToolFailed, match="not on the public internet"):
        await web.public_address("http://two.example/")


async def test_a_name_is_asked_once_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _resolving(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])

    async def checked(url: str) -> str:
        assert await web.public_address(url) == "8.8.8.8"
        return "127.0.0.1"  # in the test's place of 8.8.8.8; an address, so nothing is looked up any more

    async with _serving(OK + b"\r\nhi") as (url, requests):
        assert await web._fetched(url, checked) == "hi"

    assert asked.count("nowhere.invalid") == 1
    assert len(requests) == 1


async def test_a_redirect_to_a_name_that_became_private_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _serving(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n") as (url, requests):
        _resolving(monkeypatch, ["8.8.8.8"], ["169.254.169.254"])

        async def checked(asked: str) -> str:
            await web.public_address(asked)
            return "127.0.0.1"

        with pytest.raises(ToolFailed, match="not on the public internet"):
            await web._fetched(url, checked)

    assert len(requests) == 1
