"""Which parts of a long text have to do with a question: BM25 over its passages, no model, no index.

The formula is Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009), with the usual k1, b.
All of it takes time linear in the text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

PASSAGE_CHARS = 400
"""Lines are joined to passages of about this length, and longer lines are broken."""

K1, B = 1.5, 0.75

GAP = "[…]"
"""Stands where something was left out."""

_WORD = re.compile(r"\w+(?:[.,@:/_-]\w+){0,20}|\w")
_PART = re.compile(r"\w+")


def words_of(text: str) -> set[str]:
    """Its words in lower case; `INV-2024-7` counts as itself and as its parts."""
    lowered = text.casefold()
    return {*_WORD.findall(lowered), *_PART.findall(lowered)}


def passages(text: str) -> list[str]:
    """The text in pieces that end at line ends, where there are some. Joined they are the text."""
    pieces: list[str] = []
    piece = ""
    for line in text.splitlines(keepends=True):
        for start in range(0, len(line), PASSAGE_CHARS):
            part = line[start : start + PASSAGE_CHARS]
            if piece and len(piece) + len(part) > PASSAGE_CHARS:
                pieces.append(piece)
                piece = ""
            piece += part
    return [*pieces, piece] if piece else pieces


def scores(pieces: Sequence[str], query: str) -> list[float]:
    """How much each piece has to do with the query; 0 where they share no word."""
    wanted = words_of(query)
    if not wanted:
        return [0.0] * len(pieces)
    found: list[Counter[str]] = []
    for piece in pieces:
        lowered = piece.casefold()
        whole, parts = _WORD.findall(lowered), _PART.findall(lowered)
        found.append(Counter(word for word in [*whole, *(p for p in parts if p not in whole)] if word in wanted))
    pieces_with = Counter(word for counts in found for word in counts)
    average = sum(map(len, pieces)) / max(len(pieces), 1) or 1.0
    rarity = {word: math.log(1 + (len(pieces) - count + 0.5) / (count + 0.5)) for word, count in pieces_with.items()}
    return [
        sum(
            rarity[word] * times * (K1 + 1) / (times + K1 * (1 - B + B * len(piece) / average))
            for word, times in counts.items()
        )
        for piece, counts in zip(pieces, found, strict=True)
    ]


def cut(text: str, query: str, max_chars: int) -> str:
    """At most about `max_chars` of the text: its beginning, then the passages that answer the query best, in order.

    Where nothing fits the query it is the beginning and the end.
    """
    if len(text) <= max_chars:
        return text
    pieces = passages(text)
    scored = scores(pieces, query)
    # Of equal ones the outermost: headings and totals stand at the ends.
    ends = [min(at, len(pieces) - 1 - at) for at in range(len(pieces))]
    best = sorted(range(1, len(pieces)), key=lambda at: (-scored[at], ends[at], at))
    chosen, left = {0}, max_chars - len(pieces[0])
    for at in best:
        if len(pieces[at]) > left:
            break
        chosen.add(at)
        left -= len(pieces[at])
    return _joined(pieces, chosen)[: max_chars + len(GAP) * (len(chosen) + 1) * 2]


def _joined(pieces: Sequence[str], chosen: set[int]) -> str:
    parts: list[str] = []
    next_at = 0
    for at in sorted(chosen):
        if at != next_at:
            parts.append(f"{GAP}\n")
        piece = pieces[at]
        parts.append(piece if piece.endswith("\n") else f"{piece}\n" if at + 1 not in chosen else piece)
        next_at = at + 1
    if next_at != len(pieces):
        parts.append(GAP)
    return "".join(parts).rstrip("\n")
