"""Fetching: which addresses are refused, and what a real server on loopback can do to us."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import zstandard

from checkpoints.database import Pool
from graph.errors import ToolFailed
from tests.integration.tools_bench import bench_on
from tools import web


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "0x7f000001", "127。0。0。1", "0", "localhost",
        "LOCALHOST",
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.100.100.200",
        "169.254.169.254", "192.0.0.192", "168.63.129.16", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[0:0:0:0:0:ffff:a00:1]",
        "[::127.0.0.1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]",
        "[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:0:7f00:1::]",
        "user:word@127.0.0.1", "8.8.8.8@127.0.0.1", "8.8.8.8\\@127.0.0.1", "localhost#@8.8.8.8",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_address_inside_a_private_network_is_refused(host: str, scheme: str) -> None:
    with pytest.raises(ToolFailed, match="not on the public internet"):
        await web.public_address(f"{scheme}://{host}/path")


@pytest.mark.parametrize("address", ["fe80::1%lo", "2606:4700::1111%eth0"])
def test_an_address_of_one_network_link_is_not_public(address: str) -> None:
    assert not web._is_public(address)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://8.8.8.8", "8.8.8.8"),
        ("HTTPS://8.8.8.8:8443/ü?q=1#x", "8.8.8.8"),
        ("http://[2606:4700:4700::1111]/", "2606:4700:4700::1111"),
    ],
)
async def test_a_public_address_is_let_through(url: str, address: str) -> None:
    assert await web.public_address(url) == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://8.8.8.8/", "no http or https address"),
        ("file:///etc/passwd", "no http or https address"),
        ("gopher://8.8.8.8/", "no http or https address"),
        ("data:text/plain,hi", "no http or https address"),
        ("//8.8.8.8/", "no http or https address"),
        ("8.8.8.8", "no http or https address"),
        ("http://", "no http or https address"),
        ("", "no http or https address"),
        ("http://[::1", "no http or https address"),
        ("http://8.8.8.8\r\nX: y/", "no http or https address"),
        ("http://8.8.8.8/\0", "no http or https address"),
        ("http://\ud800/", "no http or https address"),
        ("http://0177.0.0.1/", "no http or https address"),
        ("http://8.8.8.8:99999999999999999999/", "no host"),
        (f"http://{'a' * 64}/", "no host"),
    ],
)
async def test_what_is_no_web_address_is_refused(url: str, said: str) -> None:
    with pytest.raises(ToolFailed, match=said):
        await web.public_address(url)


async def test_the_tool_asks_for_a_public_address_first(pool: Pool, tmp_path: Path) -> None:
    bench = bench_on(pool, tmp_path)

    async with _serving(b"HTTP/1.1 200 OK\r\n\r\nsecret") as (port, requests):
        refusal = await bench.refusal("fetch_url", url=f"http://localhost:{port}/")

    assert refusal == "localhost is not on the public internet: only public addresses are fetched"
    assert requests == []
    assert (await bench.executor.assess("fetch_url", {"url": "http://x"})).risk == "low"


@asynccontextmanager
async def _serving(answer: bytes) -> AsyncIterator[tuple[int, list[str]]]:
    """The port of a server that gives one answer to everything, and the requests it got."""
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], requests


async def _get(answer: bytes, path: str = "/") -> tuple[str, str]:
    async with _serving(answer) as (port, _), httpx.AsyncClient(trust_env=False) as client:
        return await web._get(client, f"http://nowhere.invalid:{port}{path}", "127.0.0.1")


def _ok(body: bytes, *headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode() + body


async def test_the_checked_address_is_connected_to_whatever_dns_says_and_no_password_goes_along() -> None:
    async with _serving(_ok(b"hi")) as (port, requests), httpx.AsyncClient(trust_env=False) as client:
        answer = await web._get(client, f"http://ann:word@nowhere.invalid:{port}/a?b=c#d", "127.0.0.1")

    assert answer == ("hi", "")
    [request] = requests
    assert request.startswith("GET /a?b=c HTTP/1.1\r\n")
    assert f"host: nowhere.invalid:{port}\r\n" in request.lower()
    assert "authorization" not in request.lower()


@pytest.mark.parametrize(
    ("location", "to"),
    [
        ("http://127.0.0.1/admin", "http://127.0.0.1/admin"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("//example.com/x", "http://example.com/x"),
        ("other", "http://nowhere.invalid:{port}/sub/other"),
    ],
)
async def test_a_redirect_is_handed_back_to_be_checked_not_followed(location: str, to: str) -> None:
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()

    async with _serving(answer) as (port, requests), httpx.AsyncClient(trust_env=False) as client:
        text, url = await web._get(client, f"http://nowhere.invalid:{port}/sub/page", "127.0.0.1")

    assert (text, url, len(requests)) == ("", to.format(port=port), 1)


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "304 Not Modified", "300 Choose"])
async def test_an_answer_that_is_no_page_is_an_error(status: str) -> None:
    with pytest.raises(ToolFailed, match=f"answered {status[:3]}"):
        await _get(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
async def test_a_broken_answer_is_an_http_error(answer: bytes) -> None:
    with pytest.raises(httpx.HTTPError):
        await _get(answer)


async def _loopback(url: str) -> str:
    """Stands in for the check that would refuse our own server, and refuses another host."""
    if "nowhere.invalid" not in url:
        raise ToolFailed(f"refused {url}")
    return "127.0.0.1"


async def test_a_page_behind_no_redirect_is_fetched() -> None:
    async with _serving(_ok(b"hi")) as (port, requests):
        assert await web._fetched(f"http://nowhere.invalid:{port}/", _loopback) == "hi"

    assert len(requests) == 1


async def test_each_redirect_is_checked_before_it_is_followed() -> None:
    async with _serving(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/admin\r\n\r\n") as (port, requests):
        with pytest.raises(ToolFailed, match=r"refused http://127\.0\.0\.1/admin"):
            await web._fetched(f"http://nowhere.invalid:{port}/", _loopback)

    assert len(requests) == 1


async def test_redirects_without_end_are_given_up() -> None:
    async with _serving(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n") as (port, requests):
        with pytest.raises(ToolFailed, match="more than 5 redirects"):
            await web._fetched(f"http://nowhere.invalid:{port}/", _loopback)

    assert len(requests) == 6


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"", "RemoteProtocolError"), (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n", "ValueError")],
)
async def test_a_server_that_breaks_the_rules_is_told_to_the_model(answer: bytes, said: str) -> None:
    async with _serving(answer) as (port, _):
        with pytest.raises(ToolFailed, match=f"can't fetch http://nowhere.invalid:{port}/: {said}"):
            await web._fetched(f"http://nowhere.invalid:{port}/", _loopback)


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        ("Grüße".encode(), [], "Grüße"),
        ("Grüße".encode("latin-1"), ["Content-Type: text/html; charset=iso-8859-1"], "Grüße"),
        ("Grüße".encode("utf-16"), ["Content-Type: text/html; charset=utf-16"], "Grüße"),
        (b"\xff", [], "\ufffd"),
        (b"plain", ["Content-Type: text/html; charset=klingon"], "plain"),
        (b"plain", ["Content-Type: text/html; charset=hex"], "plain"),
        (b"a" * 9, ["Content-Type: text/html; charset=punycode"], "a" * 9),
        (gzip.compress(b"zipped", mtime=0), ["Content-Encoding: gzip"], "zipped"),
        (zlib.compress(b"zipped"), ["Content-Encoding: Deflate"], "zipped"),
        (b"", [], ""),
    ],
)
async def test_a_page_is_decoded_by_what_it_says_it_is(body: bytes, headers: list[str], text: str) -> None:
    assert await _get(_ok(body, *headers)) == (text, "")


async def test_a_binary_answer_is_refused() -> None:
    with pytest.raises(ToolFailed, match="is no text"):
        await _get(_ok(b"\x89PNG\r\n\x1a\n\0\0"))


async def test_a_long_page_is_cut() -> None:
    assert len((await _get(_ok(b"x" * (web.MAX_BYTES + 100_000))))[0]) == web.MAX_BYTES


async def test_a_small_answer_does_not_unpack_to_a_large_one() -> None:
    bomb = gzip.compress(b"x" * 50_000_000)

    assert len((await _get(_ok(bomb, "Content-Encoding: gzip")))[0]) == web.MAX_BYTES


@pytest.mark.parametrize(
    ("encoding", "body", "said"),
    [
        ("zstd", zstandard.compress(b"x" * 50_000_000), "content-encoding 'zstd'"),
        ("br", b"x", "content-encoding 'br'"),
        ("gzip, gzip", b"x", "content-encoding"),
        ("gzip", b"no gzip", "broken compression"),
    ],
)
async def test_other_compression_is_refused(encoding: str, body: bytes, said: str) -> None:
    with pytest.raises(ToolFailed, match=said):
        await _get(_ok(body, f"Content-Encoding: {encoding}"))
