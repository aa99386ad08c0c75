"""Where a value stands in a text from outside, however it is written there: for people, who are shown the place."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from app.visible import hiding

SEARCHED = 1_000_000
"""Of a text that is searched, in characters: whoever wrote it must not choose how long the server is busy."""

MOST = 200
"""Places of one value that are told."""

Span = tuple[int, int]

_HIDDEN = "\0"
_RUN = re.compile(f"[^ {_HIDDEN}]++(?: [^ {_HIDDEN}]++)*+")
"""What stands as it is searched: words with one space between them."""


class Searchable:
    """A text in which letter case, width, line breaks, and what does not show make no difference.

    It is made, and searched, in time linear in the text.
    """

    def __init__(self, text: str) -> None:
        plain = _plain(text[:SEARCHED])
        self._places: list[int] = []
        """Where each run begins in what is searched, and in the text."""
        self._starts: list[int] = []
        parts: list[str] = []
        length = end = 0
        for run in _RUN.finditer(plain):
            if parts and " " in plain[end : run.start()]:
                parts.append(" ")
                length += 1
            self._places.append(length)
            self._starts.append(run.start())
            parts.append(run.group())
            length += len(run.group())
            end = run.end()
        self.text = "".join(parts)
        """What is searched."""

    def spans(self, value: str) -> Iterator[Span]:
        """(start, end) of each place where the value stands as words of its own, in order; the first `MOST`."""
        wanted = Searchable(value).text
        found, at = 0, self.text.find(wanted) if wanted else -1
        while at >= 0 and found < MOST:
            end = at + len(wanted)
            if not (_of_word(self.text[at - 1 : at]) or _of_word(self.text[end : end + 1])):
                found += 1
                yield self._place(at), self._place(end - 1) + 1
            at = self.text.find(wanted, end)

    def _place(self, at: int) -> int:
        run = bisect_right(self._places, at) - 1
        return self._starts[run] + at - self._places[run]


def spans_of(text: str, values: Sequence[str]) -> list[Span]:
    """Where any of the values stands, in order; what overlaps is one."""
    if not values:
        return []
    searched = Searchable(text)
    merged: list[Span] = []
    for start, end in sorted(span for value in values for span in searched.spans(value)):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def within(spans: Iterable[Span], start: int, end: int) -> list[Span]:
    """Those that reach into a part of the text, cut to it, counted from its start."""
    return [(max(a, start) - start, min(b, end) - start) for a, b in spans if a < end and b > start]


def _plain(text: str) -> str:
    """The text with one character for each: spaces alike, what does not show alike, letters without case."""
    hidden = hiding(text)
    table = {ord(char): " " if char.isspace() else _HIDDEN if char in hidden else _folded(char) for char in set(text)}
    return text.translate(table)


def _folded(char: str) -> str:
    folded = unicodedata.normalize("NFKC", char).casefold()
    return folded if len(folded) == 1 else char


def _of_word(char: str) -> bool:
    return char.isalnum() or char == "_"
