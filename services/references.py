"""References of a plan's arguments to earlier results: `"$t1"` is all that task t1 gave, `"$t1.a.b"` a field of it.

A whole argument that reads so is a reference, whatever it names, and takes the type of what it stands for. Within a
longer text it stands in braces, as in `"order ${t1.id}"`: prices and shell variables stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TASK_ID = re.compile(r"[^\W\d][\w-]{0,63}")
"""What a task may be called."""

_PLACE = rf"(?P<task>{TASK_ID.pattern})(?P<path>(?:\.[\w-]+)*)"
_WHOLE, _WITHIN = re.compile(rf"\$(?:{_PLACE})"), re.compile(rf"\$\{{{_PLACE}\}}")
_KINDS = {
    dict: "an object without it",
    list: "a list",
    str: "a text",
    bool: "true or false",
    type(None): "nothing",
    int: "a number",
    float: "a number",
}
"""What JSON makes, in words."""
_INDEX = re.compile(r"[0-9]{1,9}")
MOST_CHARS = 1_000_000
"""Longest text that references may grow an argument to."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One place that stands for a result."""

    task: str
    path: tuple[str, ...]
    """The field within it; empty for all of it."""

    def __str__(self) -> str:
        return "$" + ".".join([self.task, *self.path])[:100]


class Missing(Exception):
    """What a reference stands for is not there. `why` names the reference and what there is instead."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


def references(value: Any) -> Iterator[Reference]:
    """All references in an argument."""
    if isinstance(value, str):
        found = _WHOLE.fullmatch(value)
        yield from map(_read, [found] if found else _WITHIN.finditer(value))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


@dataclass(kw_only=True)
class Results:
    """What tasks gave, by id: text, read as JSON where a field of it is asked for."""

    texts: Mapping[str, str]
    _read: dict[str, Any] = field(default_factory=dict)

    def filled(self, value: Any) -> Any:
        """The argument with what its references stand for.

        Raises:
            Missing: a task gave no such field, or no result at all.
        """
        if isinstance(value, str):
            if whole := _WHOLE.fullmatch(value):
                return self._value(_read(whole))
            filled = _WITHIN.sub(lambda found: _as_text(self._value(_read(found))), value)
            if len(filled) > max(MOST_CHARS, len(value)):
                raise Missing(f"the results put into {value[:50]!r} make {len(filled):,} characters: refer to less")
            return filled
        if isinstance(value, Mapping):
            return {name: self.filled(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.filled(part) for part in value]
        return value

    def _value(self, reference: Reference) -> Any:
        if reference.task not in self.texts:
            raise Missing(f"{reference}: there is no result of {reference.task}")
        if not reference.path:
            return self.texts[reference.task]
        value = self._fields(reference)
        for name in reference.path:
            if isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
                value = value[int(name)]
            elif isinstance(value, dict) and name in value:
                value = value[name]
            else:
                # What there is instead may be a stranger's words, and this line stands among our own.
                raise Missing(f"{reference}: {reference.task} gave no {name[:50]!r}, but {_KINDS[type(value)]}")
        return value

    def _fields(self, reference: Reference) -> Any:
        if reference.task not in self._read:
            try:
                self._read[reference.task] = json.loads(self.texts[reference.task])
            except (ValueError, RecursionError):  # what comes from outside may be nested as deep as it likes
                raise Missing(f"{reference}: what {reference.task} gave is text without fields") from None
        return self._read[reference.task]


def _read(found: re.Match[str]) -> Reference:
    return Reference(task=found["task"], path=tuple(found["path"].split(".")[1:]))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
