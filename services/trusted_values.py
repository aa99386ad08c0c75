"""What the operator vouches for: closed directories of values, and web addresses. Arguments may come from these.

Part of the policy file (`trusted`). A directory holds for the arguments it names alone: an address of the staff is no
amount and no path. An argument must be an entry as a whole; what only holds one, or looks like one, is no entry.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from services import policy_file
from services.trusted_urls import Allowed, allowed_url, as_allowed

MOST = 20_000
"""Entries of one directory."""
MAX_BYTES = 2_000_000
"""Longest file of one."""
ENTRY_CHARS = 300

_ARGUMENT = re.compile(r"[^\s.]+\.[^\s.]+")
_IBAN = re.compile(r"[a-z]{2}\d{2}[a-z0-9]{11,30}")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")

Shown = Callable[[str], bool]
"""Whether a text is shown to come from somebody trusted."""


def _argument(named: str) -> str:
    if not _ARGUMENT.fullmatch(named):
        raise ValueError("write TOOL.ARGUMENT, such as send_email.to")
    return named


def _entry(value: str) -> str:
    if not (value.strip() and value.isprintable() and len(value) <= ENTRY_CHARS):
        raise ValueError(f"write 1 to {ENTRY_CHARS} printable characters")
    return value


def _address(written: str) -> str:
    as_allowed(written)
    return written


Argument = Annotated[str, Field(strict=True), AfterValidator(_argument)]
Entry = Annotated[str, Field(strict=True), AfterValidator(_entry)]
Address = Annotated[str, Field(strict=True), AfterValidator(_address)]


class Directory(BaseModel):
    """One directory: its entries, from one of three places, and the arguments they hold for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: tuple[Argument, ...] = Field(alias="for", min_length=1, max_length=50)
    values: tuple[Entry, ...] | None = Field(None, min_length=1, max_length=MOST)
    file: Annotated[str, Field(strict=True, min_length=1)] | None = None
    """Beside the policy: one entry a line, or the column of a CSV file with a line of names."""
    column: Annotated[str, Field(strict=True, min_length=1)] | None = None
    urls: tuple[Address, ...] | None = Field(None, min_length=1, max_length=1_000)
    """Beginnings of web addresses: see `services/trusted_urls.py`."""

    _entries: frozenset[str] = PrivateAttr(frozenset())
    _allowed: tuple[Allowed, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(one is not None for one in (self.values, self.file, self.urls)) != 1:
            raise ValueError("write one of values: [...], file: NAME, urls: [...]")
        if self.column is not None and self.file is None:
            raise ValueError("column is for a file: leave it out")
        self._entries = frozenset(map(plain, self.values or ()))
        self._allowed = tuple(map(as_allowed, self.urls or ()))
        return self

    def read(self, folder: Path) -> None:
        """Read the entries, if they are in a file.

        Raises:
            policy_file.Unreadable: it can't be read, or something else than entries is in it.
        """
        if self.file is not None:
            self._entries = frozenset(map(plain, _entries_of(folder / self.file, self.column)))

    def holds(self, value: Any, shown: Shown) -> bool:
        """Whether the value is an entry as a whole, or a list of entries."""
        if isinstance(value, Sequence) and not isinstance(value, str):
            return bool(value) and all(self.holds(one, shown) for one in value)
        if not isinstance(value, str):
            return False
        return plain(value) in self._entries or any(allowed_url(value, one, shown) for one in self._allowed)


Directories = Mapping[str, Directory]


def named(directories: Directories, tool: str, argument: str, value: Any, shown: Shown) -> str | None:
    """The name of the directory that holds the value for this argument; None when none does."""
    place = f"{tool}.{argument}"
    holding = (name for name, one in directories.items() if place in one.arguments and one.holds(value, shown))
    return next(holding, None)


def plain(value: str) -> str:
    """A value as entries are compared: spaces and the case of ASCII letters do not matter, nor where an IBAN is spaced.

    Nothing else is folded: a wide letter, or a `ß` for `ss`, names another mailbox or host.
    """
    text = " ".join(part for part in unicodedata.normalize("NFC", value).translate(_LOWER).split(" ") if part)
    closed = text.replace(" ", "")
    return closed if _IBAN.fullmatch(closed) else text


def _entries_of(path: Path, column: str | None) -> Sequence[str]:
    text = policy_file.text_of(path, max_bytes=MAX_BYTES).removeprefix("\ufeff")
    found = text.splitlines() if column is None else _column(text, column)
    entries = [one for one in found if one.strip()]
    if not entries:
        raise policy_file.Unreadable(" has no entries")
    if len(entries) > MOST:
        raise policy_file.Unreadable(f" has over {MOST} entries")
    for one in entries:
        if not one.isprintable() or len(one) > ENTRY_CHARS:
            raise policy_file.Unreadable(f": {one!r:.80} is no entry: up to {ENTRY_CHARS} printable characters")
    return entries


def _column(text: str, column: str) -> Sequence[str]:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise policy_file.Unreadable(f" is no CSV: {error}") from None
    names = rows[0] if rows else []
    if names.count(column) != 1:
        raise policy_file.Unreadable(f" has no one column {column!r:.80}: it has {', '.join(names) or 'none'}"[:300])
    for number, row in enumerate(rows[1:], start=2):
        if row and len(row) != len(names):
            raise policy_file.Unreadable(f", row {number}: it has {len(row)} fields, not {len(names)}")
    return [row[names.index(column)] for row in rows[1:] if row]
