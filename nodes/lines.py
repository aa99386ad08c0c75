"""Which calls of a step run side by side: all but equal effects, which run in turn.

An equal call that is made while one is in doubt is the same question (`checkpoints/ledger.py`). In turn the
question is settled before the next begins, and what is allowed after it is an effect of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graph.state import Call
from graph.tools import Tools


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A call that may run."""

    call: Call
    position: int
    """In the step."""
    digest: str | None
    """Of the effect it has; None for a read."""
    occurrence: int
    """How often this very call ran before on this branch."""


def without_waiting(ready: Sequence[Call], asked: Sequence[Call], tools: Tools) -> tuple[list[Call], list[Call]]:
    """(those that may run, those that wait while a person is asked about an equal one in doubt)."""
    doubted = {tools.intent(call["name"], call["args"]) for call in asked if "effect_key" in call} - {None}
    waiting = [call for call in ready if doubted and tools.intent(call["name"], call["args"]) in doubted]
    return [call for call in ready if call not in waiting], waiting


def in_lines(ready: Sequence[Call], known: Mapping[str, int], tools: Tools) -> list[list[Turn]]:
    """Equal effects in one line, one that was asked about first; `known` is how often each ran before."""
    lines: dict[str, list[Turn]] = {}
    counts = dict(known)
    for position, call in sorted(enumerate(ready), key=lambda one: "effect_key" not in one[1]):
        digest = tools.intent(call["name"], call["args"])
        occurrence = counts.get(digest, 0) if digest else 0
        if digest and "effect_key" not in call:  # one in doubt was counted when it was first tried
            counts[digest] = occurrence + 1
        turn = Turn(call=call, position=position, digest=digest, occurrence=occurrence)
        lines.setdefault(digest or str(position), []).append(turn)
    return list(lines.values())


def counted(begun: Sequence[Turn]) -> dict[str, int]:
    """How often each effect that was tried now has run on this branch."""
    return {turn.digest: turn.occurrence + 1 for turn in begun if turn.digest and "effect_key" not in turn.call}
