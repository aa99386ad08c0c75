"""`langgraph dev` as a user starts it, for as long as a figure needs it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

CONFIG = Path(__file__).parents[1] / "langgraph.json"
TRIES, PAUSE_S = 600, 0.1


@dataclass(frozen=True, kw_only=True)
class DevServer:
    """One that answers."""

    url: str
    process: subprocess.Popen[bytes]


@asynccontextmanager
async def dev_server(environment: Mapping[str, str], folder: Path) -> AsyncIterator[DevServer]:
    """The server, once it answers; its own files go to `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [str(Path(sys.executable).with_name("langgraph")), "dev", "--config", str(CONFIG), "--port", str(port)]
    command += ["--no-browser", "--no-reload", "--studio-url", "http://127.0.0.1:9"]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=log, stderr=log)  # noqa: ASYNC220, S603 - ours, and starting it takes no time
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url) as client:
            await _answers(client)
        yield DevServer(url=url, process=process)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def _answers(client: httpx.AsyncClient) -> None:
    for _ in range(TRIES):
        try:
            await client.get("/ok")
        except httpx.TransportError:
            await asyncio.sleep(PAUSE_S)
        else:
            return
    raise TimeoutError("langgraph dev did not start: see server.log")
