"""A TCP proxy on loopback that makes every round trip to Postgres take a set time longer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app import loop


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


class Pipe(asyncio.Protocol):
    """One end of a connection: what arrives here leaves at the other end, later and in order."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._later = asyncio.get_running_loop().call_later
        self.transport: asyncio.Transport | None = None
        self.other: Pipe | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.other and self.other.transport:
            self._later(self._delay_s, self.other.transport.write, data)
        else:
            self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        del exc
        if self.other and self.other.transport:
            self._later(self._delay_s, self.other.transport.close)

    def join(self, other: Pipe) -> None:
        """Pass on what came before there was another end."""
        self.other = other
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)


async def serve(url: str, round_trip_s: float) -> None:
    """Listen on a free port, print it, and pass everything on until terminated."""
    target, half, events = conninfo_to_dict(url), round_trip_s / 2, asyncio.get_running_loop()
    joining: set[asyncio.Task[None]] = set()

    async def join(client: Pipe) -> None:
        server = await _connect(target, half)
        server.join(client)
        client.join(server)

    def accepted() -> Pipe:
        client = Pipe(half)
        task = events.create_task(join(client))
        joining.add(task)
        task.add_done_callback(joining.discard)
        return client

    server = await events.create_server(accepted, "127.0.0.1", 0)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def _connect(target: dict[str, Any], delay_s: float) -> Pipe:
    events = asyncio.get_running_loop()
    host, port = str(target.get("host", "127.0.0.1")), int(str(target.get("port", 5432)))
    if host.startswith("/"):
        return (await events.create_unix_connection(lambda: Pipe(delay_s), f"{host}/.s.PGSQL.{port}"))[1]
    return (await events.create_connection(lambda: Pipe(delay_s), host, port))[1]


if __name__ == "__main__":
    loop.run(serve(sys.argv[1], float(sys.argv[2])))
