"""References of a plan's arguments to earlier results: `"$t1"` is all that task t1 gave, `"$t1.a.b"` a field of it.

A whole argument that reads so is a reference, whatever it names, and takes the type of what it stands for. Within a
longer text only the name of a task of the plan is one: prices and shell variables stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TASK_ID = re.compile(r"[^\W\d][\w-]{0,63}")
"""What a task may be called."""

_REFERENCE = re.compile(rf"\$(?P<task>{TASK_ID.pattern})(?P<path>(?:\.[\w-]+)*)")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One place that stands for a result."""

    task: str
    path: tuple[str, ...]
    """The field within it; empty for all of it."""

    def __str__(self) -> str:
        return "$" + ".".join([self.task, *self.path])


class Missing(Exception):
    """What a reference stands for is not there. `why` names the reference and what there is instead."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


def references(value: Any, known: Collection[str]) -> Iterator[Reference]:
    """All references in an argument, `known` being the ids of the plan's tasks."""
    if isinstance(value, str):
        if whole := _REFERENCE.fullmatch(value):
            yield _read(whole)
        else:
            yield from (_read(found) for found in _REFERENCE.finditer(value) if found["task"] in known)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from references(part, known)
    elif isinstance(value, list):
        for part in value:
            yield from references(part, known)


def filled(value: Any, results: Mapping[str, str]) -> Any:
    """The argument with what its references stand for; `results` holds the text each task gave, by id.

    Raises:
        Missing: a task gave no such field.
    """
    if isinstance(value, str):
        if whole := _REFERENCE.fullmatch(value):
            return _value(_read(whole), results)
        return _REFERENCE.sub(lambda found: _text(found, results), value)
    if isinstance(value, Mapping):
        return {name: filled(part, results) for name, part in value.items()}
    if isinstance(value, list):
        return [filled(part, results) for part in value]
    return value


def _read(found: re.Match[str]) -> Reference:
    return Reference(task=found["task"], path=tuple(found["path"].split(".")[1:]))


def _text(found: re.Match[str], results: Mapping[str, str]) -> str:
    if found["task"] not in results:
        return found[0]
    value = _value(_read(found), results)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value(reference: Reference, results: Mapping[str, str]) -> Any:
    if reference.task not in results:
        raise Missing(f"{reference}: there is no result of {reference.task}")
    value: Any = results[reference.task]
    if reference.path:
        try:
            value = json.loads(value)
        except ValueError:
            raise Missing(f"{reference}: what {reference.task} gave is text without fields") from None
    for name in reference.path:
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            there = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
            raise Missing(f"{reference}: {reference.task} gave no {name!r}, only {there[:200] or 'nothing'}")
    return value
