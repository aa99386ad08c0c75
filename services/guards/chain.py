"""Guards asked in order: the first that denies ends it, and one that fails denies, unless little is at stake."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import psycopg

from graph.budget import Budget
from graph.errors import ThreadTaken
from graph.guards import Allowed, Denied, Guard, Redacted, Ruling, Seen, Stage, Verdict
from services.cleaning import defused
from services.models import ModelChain

REWRITTEN: tuple[Stage, ...] = ("content", "output")
"""Where a guard may take something out. Words of a person, and what a call would do, are taken as they are or not."""

REASON_CHARS = 200

FAILED = "could not check it"
"""All the model is told of a failure: an error may repeat the text that was checked. People see it in the findings."""

NOT_OURS = (ThreadTaken, psycopg.Error)
"""What says nothing of the guard that met it: another process runs the thread now, or our database is away."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """A guard, and what people are told it is called."""

    name: str
    guard: Guard


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Implements `graph.guards.Guards`."""

    guards: Mapping[Stage, Sequence[Named]]
    seconds: float
    """Longest wait for one verdict."""
    open_for_low: bool
    """Whether a failing guard is passed over where nothing above the lowest tier is at stake."""
    connected: Sequence[ModelChain] = field(default=())
    """What guards are connected to."""

    def on(self, stage: Stage) -> bool:
        """See `graph.guards.Guards.on`."""
        return bool(self.guards.get(stage))

    async def check(self, seen: Seen, *, low: bool, budget: Budget) -> Ruling:
        """See `graph.guards.Guards.check`.

        Raises:
            ThreadTaken, psycopg.Error: the run itself can't go on here.
        """
        notes: list[tuple[str, str]] = []
        for one in self.guards.get(seen.stage, ()):
            denied = ""
            try:
                verdict = await self._verdict(one.guard, seen, budget)
            except NOT_OURS:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a guard does, it gave no verdict
                if low and self.open_for_low:
                    notes.append((one.name, f"{FAILED}: {_why(error, self.seconds)}; passed over"))
                    continue
                notes.append((one.name, f"{FAILED}: {_why(error, self.seconds)}"))
                verdict = Denied(FAILED)
            match verdict:
                case Denied(reason):
                    denied = one_line(reason)
                case Redacted(text, what) if seen.stage in REWRITTEN:
                    notes.append((one.name, f"took out {one_line(what)}"))
                    seen = replace(seen, text=text)
                case Redacted(_, what):
                    denied = f"there is {one_line(what)} in it"
                case Allowed():
                    pass
            if denied:
                return Ruling(text=seen.text, denied=f"{one.name}: {denied}", notes=tuple(notes))
        return Ruling(text=seen.text, notes=tuple(notes))

    async def aclose(self) -> None:
        """Close what guards are connected to; on the event loop that used it."""
        for one in self.connected:
            with suppress(OSError):  # gone already
                await one.aclose()

    async def _verdict(self, guard: Guard, seen: Seen, budget: Budget) -> Verdict:
        async with asyncio.timeout(min(self.seconds, max(budget.left().seconds, 0))):
            verdict = await guard.check(seen, budget=budget)
        if isinstance(verdict, (Allowed, Denied)) or (isinstance(verdict, Redacted) and isinstance(verdict.text, str)):
            return verdict
        raise TypeError(f"its verdict is {type(verdict).__name__}")


def one_line(text: str) -> str:
    """What a guard says as people and the model are shown it: it may have it from the text it checked."""
    plain = "".join(char if char.isprintable() else " " for char in defused(str(text)))
    return " ".join(plain.split())[:REASON_CHARS] or "no reason given"


def _why(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no verdict within {seconds:g} s"
    told = one_line(str(error)) if str(error).strip() else ""
    return f"{type(error).__name__}: {told}" if told else type(error).__name__
