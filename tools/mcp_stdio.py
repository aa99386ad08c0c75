"""An MCP session with a program of this machine, over its standard input and output, in bounded lines.

The SDK's own transport keeps a line of any length, and copies it at every read; so this one is ours.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import ClientSession
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage, JSONRPCNotification, JSONRPCRequest
from pydantic import ValidationError

from services.mcp_file import Server
from tools.mcp_link import MOST_MESSAGES, TALKS, Losing

MAX_BYTES = 8_000_000
"""Longest message of a server."""
LEAVE_S = 1.0
"""How long the program may take to end once its input is closed."""


@asynccontextmanager
async def session(server: Server, losing: Losing) -> AsyncIterator[ClientSession]:
    """A session that is not initialized yet; at its end neither the program nor what it started is left.

    Raises:
        OSError: it can't be started.
    """
    assert server.command is not None  # noqa: S101 - the caller has looked
    process = await asyncio.create_subprocess_exec(
        *server.command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,  # what it writes there is a stranger's text on somebody's terminal
        env={**get_default_environment(), **server.env},
        cwd=server.cwd,
        limit=MAX_BYTES,
        start_new_session=True,  # ctrl-C is meant for us, and its own children end with it
    )
    heard, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, said = anyio.create_memory_object_stream[SessionMessage](0)
    told = _Told()
    copying = [
        asyncio.create_task(_hear(process, heard, losing, told)),
        asyncio.create_task(_say(process, said, losing, told)),
    ]
    try:
        async with ClientSession(read, write, message_handler=losing.hear) as opened:
            yield opened
    finally:
        for task in copying:
            task.cancel()
        await asyncio.wait(copying)
        for stream in (heard, read, write, said):
            stream.close()
        await _ended(process)


@dataclass
class _Told:
    """Lines of the server since the last request of ours."""

    lines: int = 0


async def _hear(
    process: Process, heard: MemoryObjectSendStream[SessionMessage | Exception], losing: Losing, told: _Told
) -> None:
    assert process.stdout is not None  # noqa: S101 - PIPE
    try:
        while line := await process.stdout.readline():
            told.lines += 1
            if told.lines > MOST_MESSAGES:
                losing.lose(TALKS)
                return
            if not line.lstrip().startswith(b"{"):  # some print a greeting
                continue
            message = JSONRPCMessage.model_validate_json(line)
            if not isinstance(message.root, JSONRPCNotification):  # of those none is ours to act on
                await heard.send(SessionMessage(message))
        losing.lose("it ended")
    except ValidationError:
        losing.lose("it sent what is no answer")
    except ValueError:  # readline's, of a line that is too long
        losing.lose(f"it sent over {MAX_BYTES} bytes at once")
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        losing.lose("it ended")


async def _say(process: Process, said: MemoryObjectReceiveStream[SessionMessage], losing: Losing, told: _Told) -> None:
    assert process.stdin is not None  # noqa: S101 - PIPE
    try:
        async for message in said:
            if isinstance(message.message.root, JSONRPCRequest):  # our answers to what it asks count for nothing
                told.lines = 0
            text = message.message.model_dump_json(by_alias=True, exclude_none=True)
            process.stdin.write(f"{text}\n".encode())
            await process.stdin.drain()
    except OSError:
        losing.lose("it ended")


async def _ended(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_S):
            await process.wait()
    with suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
