"""Datasets of attacks: YAML files, each fault told in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from evals.attacks.case import Case, called, made
from evals.attacks.families import spread
from graph.errors import BadSetting
from services.yaml_loader import LOADER

INCLUDE = "include"


def read_cases(path: Path) -> list[Case]:
    """The cases of a file, those of files it includes among them.

    Raises:
        BadSetting: one line with the file, the case, and what to write.
    """
    cases = [_case(entry, at, number) for at, number, entry in _entries(path, top=True)]
    counted = Counter(one.id for one in cases)
    if twice := [name for name, count in counted.items() if count > 1]:
        raise BadSetting(f"{path}: several cases are called {', '.join(twice[:3])}: give each an id of its own")
    return cases


def chosen(cases: Sequence[Case], tag: str | None, limit: int | None) -> list[Case]:
    """Those of a category or with a tag, the first `limit` of them.

    Raises:
        BadSetting: nothing is left.
    """
    found = [one for one in cases if tag is None or tag in (one.category, *one.tags)][:limit]
    if not found:
        known = ", ".join(sorted({name for one in cases for name in (one.category, *one.tags)}))
        told = f"no case has the tag {tag!r:.40}: there are {known}"[:400] if tag else "there is no case"
        raise BadSetting(f"nothing is selected: {told}")
    return found


def _entries(path: Path, *, top: bool) -> Iterator[tuple[Path, int, Any]]:
    for number, entry in enumerate(_listed(path), start=1):
        if not (isinstance(entry, dict) and set(entry) == {INCLUDE}):
            yield from ((path, number, one) for one in _spread(entry, path, number))
        elif not top:
            raise BadSetting(f"{path}, case {number}: an included file includes no other")
        else:
            yield from _entries(path.parent / str(entry[INCLUDE]), top=False)


def _spread(entry: Any, path: Path, number: int) -> list[Any]:
    try:
        return spread(entry)
    except ValueError as wrong:
        raise BadSetting(f"{path}, case {number}: {wrong}") from None


def _listed(path: Path) -> list[Any]:
    try:
        found = yaml.load(path.read_text(), Loader=LOADER)  # noqa: S506 - a safe loader
    except OSError as error:
        raise BadSetting(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSetting(f"{path} is no text in UTF-8") from None
    except yaml.YAMLError as error:
        raise BadSetting(f"{path} is no YAML: {' '.join(str(error).split())}"[:300]) from None
    if not isinstance(found, list) or not found:
        raise BadSetting(f"{path} must be a list of cases")
    return found


def _case(entry: Any, path: Path, number: int) -> Case:
    name = entry.get("id", number) if isinstance(entry, dict) else number
    try:
        return Case.model_validate(_written_out(entry))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        raise BadSetting(f"{path}, case {name}: {place + ': ' if place else ''}{told}"[:500]) from None
    except ValueError as wrong:
        raise BadSetting(f"{path}, case {name}: {wrong}"[:500]) from None


def _written_out(entry: Any) -> Any:
    """Calls in their short form as data."""
    if not isinstance(entry, dict):
        raise ValueError("a case is a mapping with id, category, attacks, request, replies, ...")  # noqa: TRY004 - told in one line, as all
    turns = [_turn(one) for one in _list(entry["turns"], "turns")] if "turns" in entry else None
    return {**_turn(entry), **({"turns": turns} if turns is not None else {})}


def _turn(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    written = dict(given)
    if "replies" in written:
        written["replies"] = [made(one) for one in _list(written["replies"], "replies")]
    if "wanted" in written:
        written["wanted"] = [called(one) for one in _list(written["wanted"], "wanted")]
    if isinstance(written.get("subtasks"), dict):
        written["subtasks"] = {
            name: [made(one) for one in _list(replies, name)] for name, replies in written["subtasks"].items()
        }
    return written


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} is a list")  # noqa: TRY004 - as above
    return value
