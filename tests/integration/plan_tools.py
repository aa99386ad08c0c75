"""The tools of random plans, and the log they keep: what began, happened and ended, in order, in a file."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from graph.errors import ToolFailed
from tools.base import Injected, tool

Entry = dict[str, Any]
LONG = 20
"""Turns of the event loop that calls which come at once certainly overlap."""


class Log:
    """Lines of a file, each written at once: what a process wrote before it was killed is there."""

    file: Path
    reach: Callable[[str], Awaitable[None]]

    def __init__(self) -> None:
        self._calls = 0

    def begin(self, file: Path, reach: Callable[[str], Awaitable[None]]) -> None:
        """From now on write to this file, and tell what is reached."""
        self.file, self.reach = file, reach

    async def add(self, kind: str, **facts: Any) -> None:
        """Write a line, then tell that this was reached."""
        self.write(kind, **facts)
        await self.reach(kind)

    def write(self, kind: str, **facts: Any) -> None:
        """Write a line."""
        line = json.dumps({"kind": kind, **facts}) + "\n"
        opened = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(opened, line.encode())
        finally:
            os.close(opened)

    def next_call(self) -> int:
        """A number for a call, of this process."""
        self._calls += 1
        return self._calls

    def read(self) -> list[Entry]:
        """All lines, of all processes."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


def result(label: str, number: int | None = None) -> str:
    """What every tool gives."""
    return json.dumps({"label": label, "n": number or len(label), "list": [1, {"x": f"{label}-x"}]})


class Called:
    """One call: it begins when entered, takes its turns, and ends when left."""

    def __init__(self, log: Log, tool_name: str, label: str, about: Any, key: str = "") -> None:
        self._log, self._facts = log, {"tool": tool_name, "label": label, "about": about, "key": key}
        self._number = log.next_call()

    async def begin(self, pace: int) -> None:
        await self._log.add("begin", call=self._number, **self._facts)
        for _ in range(pace):
            await asyncio.sleep(0)

    async def happen(self) -> None:
        """The effect is in the world."""
        await self._log.add("happened", call=self._number, **self._facts)

    async def end(self, *, given: str = "", fault: str = "") -> str:
        await self._log.add("end", call=self._number, given=given, fault=fault, **self._facts)
        return given


def _reads(log: Log) -> list[BaseTool]:
    async def _read(name: str, label: str, about: Any, pace: int) -> str:
        called = Called(log, name, label, about)
        await called.begin(pace)
        return await called.end(given=result(label))

    @tool(risk="low", untrusted_output=False, idempotent=True)
    async def look(label: str, about: Any = None, pace: int = 0) -> str:
        """Look something up."""
        return await _read("look", label, about, pace)

    @tool(risk="low", untrusted_output=False, idempotent=True, at_once=2)
    async def narrow(label: str, about: Any = None, pace: int = 0) -> str:
        """Look up what two at a time may ask."""
        return await _read("narrow", label, about, pace + LONG)

    @tool(risk="low", untrusted_output=True, idempotent=True)
    async def outside(label: str, about: Any = None, pace: int = 0) -> str:
        """Read what a stranger wrote."""
        return await _read("outside", label, about, pace)

    @tool(risk="low", untrusted_output=False, idempotent=True)
    async def changing(label: str, about: Any = None, pace: int = 0) -> str:
        """Look something up that is another at each look."""
        called = Called(log, "changing", label, about)
        await called.begin(pace)
        return await called.end(given=result(label, len(log.read())))

    @tool(risk="low", untrusted_output=False, idempotent=True)
    async def broken(label: str, about: Any = None, pace: int = 0) -> str:
        """Fail."""
        called = Called(log, "broken", label, about)
        await called.begin(pace)
        await called.end(fault="broken")
        raise ToolFailed(f"{label} is not there")

    return [look, narrow, outside, changing, broken]


def _effects(log: Log) -> list[BaseTool]:
    async def _effect(name: str, label: str, about: Any, pace: int, key: str) -> str:
        called = Called(log, name, label, about, key)
        await called.begin(pace)
        await called.happen()
        return await called.end(given=result(label))

    @tool(risk="low", untrusted_output=False, idempotent=False)
    async def note(label: str, context: Injected, about: Any = None, pace: int = 0) -> str:
        """Write something down."""
        return await _effect("note", label, about, pace, context.idempotency_key)

    @tool(risk="high", untrusted_output=False, idempotent=False, reason="it costs money")
    async def buy(label: str, context: Injected, about: Any = None, pace: int = 0, price: float = 1.0) -> str:
        """Buy something."""
        return await _effect("buy", label, [about, price], pace, context.idempotency_key)

    @tool(risk="low", untrusted_output=False, idempotent=False)
    async def spoil(label: str, context: Injected, about: Any = None, pace: int = 0) -> str:
        """Fail without an effect."""
        called = Called(log, "spoil", label, about, context.idempotency_key)
        await called.begin(pace)
        await called.end(fault="spoilt")
        raise ToolFailed(f"{label} can't be done")

    @tool(risk="low", untrusted_output=False, idempotent=False)
    async def shaky(label: str, context: Injected, about: Any = None, pace: int = 0) -> str:
        """The first attempt ends with an error, by its key before or after the effect."""
        key = context.idempotency_key
        if any(entry["kind"] == "begin" and entry["key"] == key for entry in log.read()):
            return await _effect("shaky", label, about, pace, key)
        called = Called(log, "shaky", label, about, key)
        await called.begin(pace)
        if int(key[0], 16) % 2:
            await called.happen()
        await called.end(fault="shaken")
        raise RuntimeError("shaken")

    @tool(risk="critical", untrusted_output=False, idempotent=False, reason="it deletes")
    async def erase(label: str, context: Injected, about: Any = None, pace: int = 0) -> str:
        """Delete something: only a person does."""
        return await _effect("erase", label, about, pace, context.idempotency_key)

    return [note, buy, spoil, shaky, erase]


def tools_of(log: Log) -> list[BaseTool]:
    """All of them."""
    return [*_reads(log), *_effects(log)]
