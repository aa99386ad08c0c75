"""Where a value comes from: what a person said, a source we trust, an effect of ours. What can't be shown is no one's.

Pure. A value is looked for in trusted texts, never in untrusted ones: what a stranger rewrote, reversed or split is not
found either way, and what is not found asks a person.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import pairwise
from typing import Any

from services.choices import asked_for, named
from services.moments import Moments, moments_in

_MOMENT = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?")
_DIGITS = re.compile(r"[\d\s.,]+")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{0,20}:/", re.IGNORECASE)
_WORDS = re.compile(r"[^\W_]+(?:[.@:/+%&=?#'_-]+[^\W_]+)*")
"""What stands together without a space: an address, a link, an id and a hyphenated word count as one."""

_QUOTES = "\"'\u2018\u2019\u201c\u201d\u00ab\u00bb"
_BEFORE = re.compile(rf"[\s(<{_QUOTES}]*")
_BETWEEN = re.compile(rf"(?=.*[\s,;])[\s()<>{_QUOTES},;:.!?\u2026\u2013\u2014-]+", re.DOTALL)
_AFTER = re.compile(rf"/|(?:[\s)>{_QUOTES},;:!?\u2026]|\.(?!\.))*")
"""What around words and between them says nothing. Any other sign may: of `_ann@x.org`, `../notes`, `notes/*`, -13."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A text that is trusted, and what to call it. What is asked of it often is worked out once, when it is asked."""

    name: str
    text: str

    @cached_property
    def words(self) -> str:
        """Its words, as `_run` writes them."""
        return _run(self.text)

    @cached_property
    def line(self) -> str:
        """It in one line, as `_literally` looks for a value in it."""
        return _line(self.text)

    @cached_property
    def moments(self) -> Moments:
        """The dates, times and numbers in it."""
        return moments_in(self.text)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An id that a lookup gave as its one hit, or that an effect of ours made; or what a person said to take of it."""

    value: str
    tool: str
    argument: str = ""
    """What it may be taken for; empty for an id."""


class Trusted:
    """All that values may come from."""

    def __init__(self, sources: Sequence[Source], bound: Sequence[Bound] = ()) -> None:
        self._sources = sources
        self._bound = bound

    def origin(self, value: Any) -> str | None:
        """The name of the source a value comes from; None when it can't be shown. Nothing comes from anywhere."""
        match value:
            case None | False:
                return "nothing"
            case True:
                return None
            case int() | float() | Decimal():
                return self._number(value)
            case str():
                return self._text(value)
            case Mapping():
                return self._each([*value, *value.values()])
            case _:
                return self._each(value) if isinstance(value, Iterable) else None

    def record(self, value: Any, tool: str, argument: str) -> str | None:
        """The same of a record's id: only what a lookup of the same kind of record bound, or an effect of ours made."""
        kinds = _kinds(argument, tool)
        for one in self._bound:
            if not one.argument and one.value == str(value) and kinds & _nouns(one.tool):
                return one.tool
        return None

    def taken(self, value: Any, tool: str, argument: str) -> str | None:
        """The same of what a person said to take from a record of the kind that the tool is about."""
        kinds = _nouns(tool) - _VERBS
        fitting = [one for one in self._bound if one.argument == argument and kinds & (_nouns(one.tool) - _VERBS)]
        values = value if isinstance(value, list) else [value]
        if not values or not {str(part) for part in values} <= {one.value for one in fitting}:
            return None
        return fitting[0].tool

    def choice(self, value: Any, argument: str, choices: Sequence[str]) -> str | None:
        """The same of a member of a closed set, which may be named in another spelling."""
        if not isinstance(value, str):
            return None
        text = "\n".join(source.text for source in self._sources)
        return self._sources[0].name if self._sources and named(value, argument, choices, text) else None

    def flag(self, argument: str) -> str | None:
        """Where a switch that is on was asked for: by its name."""
        return next((source.name for source in self._sources if asked_for(argument, source.text)), None)

    def _each(self, values: Iterable[Any]) -> str | None:
        return of_all(map(self.origin, values))

    def _number(self, value: float | Decimal) -> str | None:
        try:
            wanted = Decimal(str(value))
        except InvalidOperation:
            return None
        return next((source.name for source in self._sources if wanted in source.moments.numbers), None)

    def _text(self, value: str) -> str | None:
        if moment := _moment(value):
            return self._at(moment, whole_day=len(value.strip()) == len("2024-05-19"))
        if _ADDRESS.match(value.strip()):
            return next((source.name for source in self._sources if _stands(value, source.text)), None)
        run = _run(value)
        if not run:
            return "nothing" if not value.strip() else None
        if not self._may_be_number(value):
            return None
        if not _only_words(value):
            wanted = _line(value)
            return next((source.name for source in self._sources if _literally(wanted, source.line)), None)
        return next((source.name for source in self._sources if run in source.words), None)

    def _may_be_number(self, value: str) -> bool:
        """False where a text is a number that nobody said: "June 13" has no 13 of its own."""
        plain = unicodedata.normalize("NFKC", value).strip(f" ()<>{_QUOTES},;:!?.\u2026")
        if not _DIGITS.fullmatch(plain):
            return True
        try:
            return self._number(Decimal(plain.replace(",", ""))) is not None
        except InvalidOperation:
            return True

    def _at(self, moment: datetime, *, whole_day: bool) -> str | None:
        for source in self._sources:
            said = source.moments
            if not said.names(moment.date()):
                continue
            if whole_day or moment.time() in said.times or _ends(moment, said):
                return source.name
        return None


def of_all(found: Iterable[str | None]) -> str | None:
    """The first of several sources of values; None when one of them has none. Nothing comes from nothing."""
    first = None
    for one in found:
        if one is None:
            return None
        first = first or one
    return first or "nothing"


def _ends(moment: datetime, said: Moments) -> bool:
    """Whether it is a time that was said and a length that was said later; midnight to midnight is a whole day."""
    if moment.time() in (time(0), time(23, 59)):
        return not said.times
    starts = [datetime.combine(moment.date(), at) for at in said.times]
    return any(start + length == moment for start in starts for length in said.lengths)


def _moment(value: str) -> datetime | None:
    found = _MOMENT.fullmatch(value.strip())
    if not found:
        return None
    try:
        return datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]  # noqa: DTZ001 - as written
    except ValueError:
        return None


def _run(text: str) -> str:
    """A text as words that can be compared: letter case, width, spaces and punctuation between them do not matter.

    Each word ends a line, and one begins the text: a run of words stands in another where its text does.
    """
    words = _WORDS.findall(_lower(text))
    return "".join(["\n", *(f"{word}\n" for word in words)]) if words else ""


def _lower(text: str) -> str:
    # Lower case, not folded: to a name server "straße" is another name than "strasse".
    return unicodedata.normalize("NFKC", text).lower()


def _line(text: str) -> str:
    return " ".join(_lower(text).split())


def _only_words(value: str) -> bool:
    """Whether all of it are words, and signs that do not matter."""
    plain = _lower(value)
    words = list(_WORDS.finditer(plain))
    gaps = [plain[one.end() : other.start()] for one, other in pairwise(words)]
    return bool(
        _BEFORE.fullmatch(plain[: words[0].start()])
        and all(map(_BETWEEN.fullmatch, gaps))
        and _AFTER.fullmatch(plain[words[-1].end() :])
    )


def _literally(line: str, text: str) -> bool:
    """Whether it stands there with all its signs, not as the end or the beginning of something else."""
    around = rf"(?<![^\s(<{_QUOTES}]){{}}(?![^\s)>{_QUOTES},.;:!?\u2026])"
    return line in text and re.search(around.format(re.escape(line)), text) is not None


def _stands(value: str, text: str) -> bool:
    """Whether it stands there character by character: signs and letter case in a web address can carry a message."""
    wanted, plain = " ".join(value.split()), " ".join(text.split())
    end = r"""(?=[.,;:!?]*(?:$|[\s"'<>`)\]}]))"""
    return wanted in plain and re.search(rf"(?<!\w){re.escape(wanted)}{end}", plain) is not None


def _nouns(name: str) -> set[str]:
    return {part.rstrip("s") for part in re.split(r"[^a-z]+", name.casefold()) if part}


_VERBS = {
    "get",
    "list",
    "search",
    "find",
    "read",
    "delete",
    "update",
    "create",
    "add",
    "cancel",
    "reschedule",
    "share",
    "append",
    "send",
    "by",
    "to",
    "all",
    "id",
    "name",
    "query",
    "the",
    "new",
}


def _kinds(argument: str, tool: str) -> set[str]:
    """Which kind of record an argument names: by its own name, else by its tool's."""
    of_argument = _nouns(argument) - _VERBS - {""}
    return of_argument or (_nouns(tool) - _VERBS)
