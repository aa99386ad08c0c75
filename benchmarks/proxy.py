"""A TCP proxy on loopback that makes every round trip to Postgres take a set time longer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo


@asynccontextmanager
async def delayed(url: str, round_trip_s: float) -> AsyncIterator[str]:
    """A URL of the same database behind the delay. The proxy is a process of its own: its work is not measured."""
    command = [sys.executable, "-m", "benchmarks.proxy", url, str(round_trip_s)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None  # noqa: S101 - for the type: it is a pipe
    try:
        port = int(await process.stdout.readline())
        yield make_conninfo(url, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable")
    finally:
        process.terminate()
        await process.wait()


async def serve(url: str, round_trip_s: float) -> None:
    """Listen on a free port, print it, and pass everything on until terminated."""
    target, half = conninfo_to_dict(url), round_trip_s / 2

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await _connect(target)
        await asyncio.gather(_pump(reader, upstream_writer, half), _pump(upstream_reader, writer, half))

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def _connect(target: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = str(target.get("host", "127.0.0.1")), int(str(target.get("port", 5432)))
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass bytes on after the delay, in order, without one chunk waiting for another's delay."""
    loop = asyncio.get_running_loop()
    while data := await reader.read(65_536):
        loop.call_later(delay_s, _write, writer, data)
    loop.call_later(delay_s, writer.close)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
