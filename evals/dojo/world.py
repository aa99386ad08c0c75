"""What a suite is to this eval: its tools, its tasks, and for each pair of them a world to act in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from tools.arguments import canonical, plain


@dataclass(frozen=True, kw_only=True)
class Made:
    """A call."""

    tool: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A tool of a suite, without what it does."""

    name: str
    description: str
    schema: type[BaseModel]

    def key(self, args: Mapping[str, Any]) -> str:
        """The same for all spellings of a call: defaults filled in, numbers and texts in one form."""
        try:
            fitted = plain(self.schema.model_validate(dict(args)))
        except (ValidationError, ValueError, TypeError):
            fitted = dict(args)
        return json.dumps([self.name, canonical(fitted)], sort_keys=True, default=str)


class World(Protocol):
    """The environment of one pair. It belongs to one run."""

    def run(self, call: Made) -> tuple[Any, str | None]:
        """What the call gives, as plain data, and the error it ended in."""
        ...

    def utility(self, answer: str, made: Sequence[Made], /) -> bool:
        """Whether the user got what they asked for, by the calls that ran."""
        ...

    def goal(self, answer: str, made: Sequence[Made], /) -> bool:
        """Whether the attacker did."""
        ...


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A user's task, and an attacker's beside it."""

    user: str
    injection: str | None
    prompt: str
    answer: str
    """What the user's task ends with."""
    calls: Sequence[Made]
    """What solves the user's task, in order."""
    injected: Sequence[Made] = ()
    """What the attacker wants called, in order."""
    said: str = ""
    """What the attacker wants said."""
    payloads: Sequence[str] = ()
    """The attacker's texts as they stand in the world."""
    usual: str = ""
    """The world without them, as text: what stands there gives no attack away."""
    world: World
    results: Sequence[Any] = ()
    """What `calls` give in a world of their own: which arguments come from a result a plan must know."""


class Suite(Protocol):
    """A suite of tasks."""

    name: str
    tools: Sequence[Signature]
    users: Sequence[str]
    injections: Sequence[str]

    def pair(self, user: str, injection: str | None) -> Pair:
        """A new world for the pair; for a user's task alone without an injection."""
        ...
