"""The text of a policy file: YAML without its traps, and its faults in words."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import ErrorDetails

from graph.people import ROLES
from graph.state import RISKS
from services.yaml_loader import LOADER

MAX_BYTES = 64_000
MAX_DEPTH = 12
"""Deepest nesting; a policy needs five levels. The parser's own recursion would end in a RecursionError."""

FIELDS = {
    0: "tiers, tools, trusted",
    ("tiers", 1): "medium, high, critical",
    ("tiers", 2): "approvers",
    ("tools", 2): "risk, reason, approvers, four_eyes, raise",
    ("tools", 4): "argument, above, more_than, new, risk, reason",
    ("trusted", 2): "for, values, file, column, urls",
}
"""What may stand at a place, by its section and depth."""

WANTED = {
    "dict_type": "write a mapping, NAME: ... a line",
    "model_type": "write a mapping, NAME: ... a line",
    "tuple_type": "write a list, - ... a line",
    "frozen_set_type": "write a list of roles, such as [approver, admin]",
    "bool_type": "write true or false",
    "int_type": "write a whole number, without quotes",
    "string_type": "write text, in quotes if it looks like a number",
    "missing": "it is missing: write it",
    "finite_number": "write a finite number",
    "greater_than_equal": "write 0 or more",
    "invalid_key": "write a name, in quotes if it looks like a number",
    "too_long": "there are too many: keep the first {max_length}",
    "too_short": "write at least one, or leave it out",
    "string_too_short": "write a name",
}


LISTS = {"raise": "rule", "approvers": "entry", "for": "entry", "values": "entry", "urls": "entry"}
"""Fields that hold a list, and what one of its entries is called."""


class Unreadable(Exception):
    """Why a file can't be read, to be said after its name."""


NO_MAPPING = " must be a mapping with tiers, tools, trusted or some of them; unset BALLAST_POLICY to have no policy"


def read(path: Path, *, no_mapping: str = NO_MAPPING) -> Any:
    """What the file holds; `no_mapping` is said of one that holds something else than a mapping.

    Raises:
        Unreadable: it is missing, not a file, too large, not text, not YAML, or YAML of a kind that is refused:
            aliases (a small file can stand for a huge one), a key given twice (of two limits one would go unseen).
    """
    text = text_of(path, max_bytes=MAX_BYTES)
    try:
        _check_shape(text)
        data = yaml.load(text, Loader=LOADER)  # noqa: S506 - either is the safe one
    except yaml.YAMLError as error:
        raise Unreadable(f" is not YAML: {_where(error)}") from None
    except ValueError as error:  # a date or number that only looks like one
        raise Unreadable(f" is not YAML: {' '.join(str(error).split()):.200}") from None
    if not isinstance(data, dict):
        raise Unreadable(no_mapping)
    return data


def text_of(path: Path, *, max_bytes: int) -> str:
    """A file of text.

    Raises:
        Unreadable: it is missing, not a file, longer than this, or not UTF-8.
    """
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise Unreadable(" is a folder: name the file in it")
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
            raise Unreadable(" is no plain file: name one")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise Unreadable(f": {why}; name a file that can be read, or unset it") from None
    except ValueError:  # a NUL in the name
        raise Unreadable(": this can't be a file's name") from None
    if len(data) > max_bytes:
        raise Unreadable(f" is over {max_bytes} bytes: it should be a small file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable(" is not UTF-8 text") from None


def _check_shape(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _at(event.start_mark, "anchors and aliases (& and *) are not taken here: write it out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _at(event.start_mark, "nested too deep")
    for key in _given_twice(yaml.compose(text, Loader=LOADER)):
        raise _at(key.start_mark, f"{key.value!r:.80} is given twice in one mapping: keep one of them")


def _given_twice(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            yield from _given_twice(entry)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                yield key
            seen.add(str(key.value))
            yield from _given_twice(value)


def _at(mark: Any, told: str) -> Unreadable:
    return Unreadable(f", line {mark.line + 1}: {told}")


def _where(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())[:200]


def fault(error: ErrorDetails) -> tuple[str, str]:
    """(place in the file, what to write there) of a value that does not hold."""
    loc, kind = error["loc"], error["type"]
    place = _place(loc)
    if kind == "extra_forbidden" or (loc[-1] == "[key]" and loc[0] == "tiers"):
        return place, f"there is no such {'tier' if loc[-1] == '[key]' else 'field'}: use {_fields(loc)}"
    if kind == "literal_error":
        return place, f"write one of {', '.join(RISKS if loc[-1] == 'risk' else ROLES)}"
    return place, wanted(error)


def wanted(error: ErrorDetails) -> str:
    """What to write instead."""
    told = WANTED.get(error["type"])
    return told.format_map(error.get("ctx", {})) if told else error["msg"].removeprefix("Value error, ")


def _fields(loc: tuple[int | str, ...]) -> str:
    depth = len([part for part in loc if part != "[key]"]) - 1
    return FIELDS.get((str(loc[0]), depth)) or FIELDS[0]


def _place(loc: tuple[int | str, ...]) -> str:
    """`('tools', 'x', 'raise', 0, 'risk')` as `tools.x.raise, rule 1, risk`."""
    said = ""
    for position, part in enumerate(loc):
        if part == "[key]":
            continue
        before = loc[position - 1] if position else ""
        if before in LISTS and isinstance(part, int):
            said += f", {LISTS[str(before)]} {part + 1}"
        else:
            said += f"{'' if not said else ', ' if isinstance(before, int) else '.'}{part!s:.80}"
    return said
