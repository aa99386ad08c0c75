"""A TCP proxy on loopback that makes every round trip to Postgres take a set time longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo


@asynccontextmanager
async def delayed(url: str, round_trip_s: float) -> AsyncIterator[str]:
    """A URL of the same database behind the delay."""
    target = conninfo_to_dict(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await _connect(target)
        await asyncio.gather(
            _pump(reader, upstream_writer, round_trip_s / 2), _pump(upstream_reader, writer, round_trip_s / 2)
        )

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield make_conninfo(url, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable")


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
