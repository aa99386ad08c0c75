"""What a person's words point at: the one record that a lookup was about, and a field that is to be taken from it.

Pure. A lookup in any words of the request would bind whatever an attacker put them into: each rule says what it asks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile
from typing import Any

_WORD = re.compile(r"[^\W_]+")
_SENTENCE_ENDS = re.compile(r"[.!?;](?=\s|$)|\n")
_LEADING = frozenset({"in", "on", "for", "of", "the", "my", "our", "your", "a", "an"})
_MOST = frozenset({"limit", "max", "maximum", "top", "n", "count", "first", "last", "size", "results"})
"""Words in the names of arguments that say how many hits are given at most."""
_BEHIND = {"offset": 0, "skip": 0, "page": 1}
"""The same of arguments that leave hits out when they are more than this."""
_EMPTY = frozenset(
    re.findall(
        r"\w+",
        "a an the this that these those it its my your our his her their me you we us i to in on at of for from by "
        "with and or not is are was be do does did have has can could will would should please if so as all any new",
    )
)
"""Words that tell no record from another."""


def telling(args: Mapping[str, Any]) -> bool:
    """Whether a lookup's words are about something: "the" finds whatever an attacker wrote it into."""
    return any(word not in _EMPTY for one in _asked(args).values() for word in _WORD.findall(str(one).casefold()))


def meant(records: Sequence[Mapping[str, Any]], args: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The record that a lookup was about: its one hit, or the one hit that has just what was asked for.

    That one has each text that was asked for, whole, in a field of the argument's own name: a file by its whole name
    beside those that have it in theirs. Two of them are none: an attacker may have made the second. Where the lookup
    itself has others left out, none is the only one.
    """
    asked = _asked(args)
    if any(_cuts(name, value, len(records)) for name, value in asked.items()):
        return None
    if len(records) == 1:
        return records[0]
    if not asked:
        return None
    exact = [one for one in records if all(name in one and _same(one[name], value) for name, value in asked.items())]
    return exact[0] if len(exact) == 1 else None


def taken(record: Mapping[str, Any], args: Mapping[str, Any], texts: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Fields of the record that a person said to take from it, with their values: "the same guests as the kick-off".

    All the lookup asked for must stand behind those words in their sentence, and one of its texts at once: another
    record that some words of the request find is not what they point at.
    """
    asked = [str(value) for value in _asked(args).values()]
    for name, value in record.items():
        if any(_points(rest, asked) for text in texts for rest in _behind(name, text)):
            yield name, value


def _cuts(name: str, value: Any, given: int) -> bool:
    """Whether hits may have been left out for this argument."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    words = _WORD.findall(_plain(name.replace("_", " ")))
    return any((word in _MOST and value <= given) or value > _BEHIND.get(word, value) for word in words)


def _asked(args: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in args.items() if value not in (None, "", [], {})}


def _behind(name: str, text: str) -> Iterator[str]:
    """What follows "same NAME as" up to the end of its sentence."""
    words = [re.escape(_plain(part).removesuffix("s")) + "s?" for part in _WORD.findall(name.replace("_", " "))]
    plain = _plain(text)
    for found in re.finditer(rf"\bsame {' '.join(words)} as\b", plain) if words else ():
        yield _SENTENCE_ENDS.split(plain[found.end() :], maxsplit=1)[0]


def _points(rest: str, asked: Sequence[str]) -> bool:
    runs = [_WORD.findall(_plain(one)) for one in asked]
    words = list(dropwhile(_LEADING.__contains__, _WORD.findall(rest)))
    if not all(run and any(words[at : at + len(run)] == run for at in range(len(words))) for run in runs):
        return False
    return any(telling({"": " ".join(run)}) and words[: len(run)] == run for run in runs)


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, str) and isinstance(other, str) and _plain(one).strip() == _plain(other).strip()


def _plain(text: str) -> str:
    return re.sub(r"[ \t]+", " ", unicodedata.normalize("NFKC", text).casefold())
