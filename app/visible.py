"""Text from models, tools and files as it may be shown: what would act on a terminal or page, or hide, is spelt out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import groupby

SPELT_OUT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories without a glyph of their own: control, format (bidirectional, zero-width), unassigned."""

BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U00016fe4\U0001d159")
"""Letters and marks that show nothing."""

LINES = "\n\t"
"""What text of several lines may hold."""


def visible(text: str, *, keep: str = "") -> str:
    r"""`text` with every unprintable character as its Python escape (`\x1b`, `\u202e`), but for those in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return text.translate({ord(char): _spelt(char) for char in hiding(text, keep=keep)})


def hiding(text: str, *, keep: str = "") -> set[str]:
    """The unprintable characters that are in a text, but for those in `keep`."""
    return {char for char in set(text) if _hides(char) and char not in keep}


def count_hiding(text: str) -> int:
    """How many characters `visible_text` spells out."""
    return sum(map(text.count, hiding(text, keep=LINES)))


def visible_text(text: str) -> str:
    """The same for text of several lines."""
    return visible(text, keep=LINES)


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The same in pieces, each with whether it was spelt out: a page sets an escape apart from text like it."""
    if text.isascii() and text.isprintable():
        yield text, False
        return
    for hidden, chars in groupby(text, lambda char: _hides(char) and char not in LINES):
        piece = "".join(chars)
        yield ("".join(map(_spelt, piece)) if hidden else piece), hidden


def _hides(char: str) -> bool:
    selects = "\ufe00" <= char <= "\ufe0d" or "\U000e0100" <= char <= "\U000e01ef"  # the two of emoji are ordinary
    return selects or char in BLANK or unicodedata.category(char) in SPELT_OUT


def _spelt(char: str) -> str:
    return char.encode("unicode_escape").decode()
