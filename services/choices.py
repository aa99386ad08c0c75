"""Whether a person named a code of a closed set by its words: "read permissions" for the code `r`; or a switch.

Pure. Only sets that a tool itself declares, so a wrong guess can be no worse than another member of the set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

LETTERS = {"r": "read", "w": "write", "x": "execute"}
"""What the letters of a code stand for, as in file modes. By initials alone "appropriate" would be an `a`."""

_WORD = re.compile(r"[^\W_]+")
_SENTENCE = re.compile(r"[.!?;](?=\s|$)|\n")
_NOT = frozenset(
    re.findall(r"\w+", "no not never without except don doesn shouldn avoid disable skip revoke remove instead than")
)
"""Words that make of what follows the opposite."""


def named(value: str, argument: str, choices: Sequence[str], text: str) -> bool:
    """Whether the text names this one of the choices, and none of the others, just before the argument's name.

    "Read and write permissions" is `rw`, and not `w`.
    """
    spelled = {one: [LETTERS[letter] for letter in one] for one in choices if one and set(one) <= set(LETTERS)}
    if value not in spelled:
        return False
    return {found for part in _SENTENCE.split(text.casefold()) for found in _found(argument, spelled, part)} == {value}


def asked_for(switch: str, text: str) -> bool:
    """Whether the text names this switch, and nowhere behind a word that says to leave it off."""
    name = _name(switch)
    found = [
        _NOT.isdisjoint(words[:at])
        for words in map(_words, _SENTENCE.split(text.casefold()))
        for at in range(len(words) - len(name) + 1)
        if words[at : at + len(name)] == name
    ]
    return bool(name) and bool(found) and all(found)


def _words(sentence: str) -> list[str]:
    return [_single(one) for one in _WORD.findall(sentence)]


def _name(argument: str) -> list[str]:
    return _words(argument.casefold().replace("_", " "))


def _found(argument: str, spelled: dict[str, list[str]], sentence: str) -> Iterator[str]:
    """For each place where the argument is named: the longest code that is spelled out before it, or nothing."""
    words = [one for one in _words(sentence) if one != "and"]
    name = _name(argument)
    longest = sorted(spelled, key=len, reverse=True)
    for at in range(len(words) - len(name) + 1):
        if words[at : at + len(name)] == name:
            before = [] if _NOT & set(words[:at]) else words[:at]
            yield next((one for one in longest if before[-len(one) :] == spelled[one]), "")


def _single(word: str) -> str:
    return word.removesuffix("s")
