"""A Postgres that does what it is asked, and whose answer gets lost: a proxy on loopback that cuts the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict, make_conninfo


@dataclass(kw_only=True)
class Proxy:
    """Passes everything on, until it is told to lose the next answer, or the next question."""

    url: str = ""
    lose_next: bool = False
    lose_question: bool = False
    lost: int = 0


@asynccontextmanager
async def losing_answers(url: str) -> AsyncIterator[Proxy]:
    """The same database behind the proxy."""
    proxy, socket = Proxy(), f"{conninfo_to_dict(url)['host']}/.s.PGSQL.{conninfo_to_dict(url).get('port', 5432)}"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(socket)

        async def ask() -> None:
            while data := await reader.read(65_536):
                if proxy.lose_question:
                    proxy.lose_question, proxy.lost = False, proxy.lost + 1
                    break
                back.write(data)
            back.close()

        async def answer() -> None:
            while data := await there.read(65_536):
                if proxy.lose_next:
                    proxy.lose_next, proxy.lost = False, proxy.lost + 1
                    break
                writer.write(data)
            writer.close()

        await asyncio.gather(ask(), answer())

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        proxy.url = make_conninfo(url, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable")
        yield proxy
