"""Tools of a real MCP server behind an address on this machine, and of addresses where none answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from checkpoints.database import Pool
from tests.integration.mcp_office import READ, Office, Working, listed, servers
from tools.mcp_link import Losing

pytest.importorskip("langchain_mcp_adapters", reason="needs the extra mcp")

from tools import mcp_http


@asynccontextmanager
async def over_http(office: Office, *flags: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.mcp_http_server", str(office.folder), *flags),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout
    port = int(await process.stdout.readline())
    office.config = {"url": f"http://127.0.0.1:{port}/mcp/", "headers": {"X-Token": "t"}, "timeout_s": 5}
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_tools_behind_an_address_work_flood_die_and_are_an_exit(
    working: Working,
    desk: Office,
    flags: tuple[str, ...],
) -> None:
    desk.lists(READ, listed("flood", size={"type": "integer"}), listed("die"))
    async with over_http(desk, *flags), working(desk) as bench:
        assert await bench.said("mcp__desk__read", id=1) == 'read {"id": 1}'
        assert bench.executor.trust("mcp__desk__read").gated  # what it is asked leaves the house
        flooded = await bench.run("mcp__desk__flood", size=9_000_000)
        assert await bench.said("mcp__desk__read", id=2) == 'read {"id": 2}'
        died = await bench.run("mcp__desk__die")
        gone = await bench.refusal("mcp__desk__read", id=3)

        assert "ServerLost: MCP server desk: it sent over 8000000 bytes at once" in flooded.text
        assert (died.ok, died.doubt is None) == (False, False)
        assert "MCP server desk can't be reached: " in gone
        assert "\n" not in gone


async def test_a_change_behind_an_address_cuts_it_off(working: Working, desk: Office) -> None:
    async with over_http(desk), working(desk) as bench:
        assert (await bench.run("mcp__desk__read", id=1)).ok
        desk.lists(READ)
        assert "is cut off" in await bench.refusal("mcp__desk__read", id=1)


ANSWERS: list[tuple[bytes, str]] = [
    (b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", "500"),
    (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n{no", "it sent what is no answer"),
    (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi", "it sent what is no answer"),
    (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\r\n", "it sent what is packed"),
    (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2:1/\r\ncontent-length: 0\r\n\r\n", "Redirect to"),
    (b"", "did not answer within 1 s"),
]


@pytest.mark.parametrize(("answer", "told"), ANSWERS)
async def test_what_is_no_mcp_server_is_one_typed_line(
    pool: Pool,
    tmp_path: Path,
    desk: Office,
    answer: bytes,
    told: str,
) -> None:
    async def answering(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        await read.readuntil(b"\r\n\r\n")
        write.write(answer)
        if answer:
            await write.drain()
        else:
            await read.read()
        write.close()

    async with await asyncio.start_server(answering, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        desk.config = {"url": f"http://127.0.0.1:{port}/mcp", "connect_s": 1}
        async with servers(pool, tmp_path, desk) as ready:
            [seen] = await ready.examine()

    assert seen.status == "down"
    assert told in seen.told
    assert "\n" not in seen.told


class Chatter(httpx.AsyncByteStream):
    """Events without end, none of them long."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b"data: {}\n\n" * 1_000


async def test_events_without_end_end_the_connection() -> None:
    losing = Losing()

    with pytest.raises(httpx.ReadError):
        async for _ in mcp_http._Bounded(Chatter(), losing, events=True):
            pass

    assert losing.why == "it sent over 20000 messages that nobody asked for"
