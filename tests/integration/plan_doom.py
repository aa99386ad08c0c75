"""How a process of a random plan dies, or is stopped: at a write, or in a tool."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig

from checkpoints.saver import PostgresSaver
from tests.integration.plan_cases import Kill
from tests.integration.plan_tools import Log

LATE_SECONDS = 0.5
"""How long a write that hangs waits for another one to overtake it. There may be none."""
IN_TOOLS = frozenset({"begin", "happened", "end"})
RETURN = "__return__"
"""LangGraph's channel for what a task gave."""


@dataclass(kw_only=True)
class Doom:
    """When a process dies, and how."""

    kill: Kill | None
    die: Callable[[], None]
    log: Log
    dead: bool = False
    ended: bool = False
    """Dead, or stopped."""
    reached: Counter[str] = field(default_factory=Counter)

    async def reach(self, kind: str) -> None:
        """Die if it is time. What goes on in a dead process, until it is cancelled, does nothing more."""
        if not self.ended:
            self.reached[kind] += 1
            if self.comes_at(kind):
                self.now()
        if self.dead and kind in IN_TOOLS:  # an error would be an end of the call, and recorded
            await asyncio.Event().wait()
        if self.dead:
            raise RuntimeError("a dead process does not write")

    def comes_at(self, kind: str) -> bool:
        """Whether it is time."""
        return self.kill is not None and self.kill["on"] == kind and self.reached[kind] == self.kill["nth"]

    def now(self) -> None:
        """Die. A process returns from it only to be cancelled."""
        self.ended, self.dead = True, not (self.kill and self.kill["clean"])
        self.log.write("died", by=self.kill)
        self.die()


class DoomedSaver(PostgresSaver):
    """Tells of each write before it is made, and logs each task that is stored. A dead one writes nothing."""

    doom: Doom
    log: Log
    stored: asyncio.Event
    """Set when a task is stored that was begun to be stored after the one that hangs."""
    returned: int

    async def aput(self, *given: Any, **named: Any) -> RunnableConfig:
        await self.doom.reach("write")
        return await super().aput(*given, **named)

    async def aput_writes(self, config: RunnableConfig, writes: Any, task_id: str, task_path: str = "") -> None:
        await self.doom.reach("write")
        attempt: dict[str, Any] = next((value for channel, value in writes if channel == RETURN), {})
        await super().aput_writes(config, writes, task_id, task_path)
        if "result" in attempt:
            await self.log.add("stored", call=attempt["call"]["id"])
            if self.doom.kill and self.returned >= self.doom.kill["nth"]:
                self.stored.set()

    async def _write(self, statement: Any, row: dict[str, Any]) -> None:
        if RETURN in row.get("channels", ()):
            await self._overtaken()
        await super()._write(statement, row)

    async def _overtaken(self) -> None:
        """Where it is time for it: hang until another task is stored, and die."""
        self.returned += 1
        if self.doom.kill == {"on": "late", "nth": self.returned, "clean": False}:
            with suppress(TimeoutError):
                async with asyncio.timeout(LATE_SECONDS):
                    await self.stored.wait()
            self.doom.now()
            await self.doom.reach("late")
