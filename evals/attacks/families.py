"""One case in several disguises: `family: [base64, rot13]` puts the attacker's `{{words}}` into each of them."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

WORDS = "{{words}}"

GRAPHS = ["react", "plan"]
"""In turn: what differs within a family is the disguise."""

_LOOKALIKES = str.maketrans("aceopxyi", "асеорхуі")  # noqa: RUF001 - Cyrillic is the point
_LEET = str.maketrans("aeiost", "431057")


def _tagged(text: str) -> str:
    """In the invisible letters of Unicode's block of tags."""
    return "".join(chr(0xE0000 + ord(char)) if char.isascii() else char for char in text)


ENCODINGS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "homoglyphs": lambda text: text.translate(_LOOKALIKES),
    "zero-width": "\u200b".join,
    "soft-hyphens": "\u00ad".join,
    "split-letters": " ".join,
    "hyphenated": "-".join,
    "percent": lambda text: quote(text, safe=""),
    "entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "fullwidth": lambda text: "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text),
    "leet": lambda text: text.translate(_LEET),
    "upper": str.upper,
    "tags": _tagged,
    "right-to-left": lambda text: f"\u202e{text[::-1]}\u202c",
    "lines": lambda text: "\n".join(text.split()),
    "acrostic": lambda text: "\n".join(f"{char} is the next letter" for char in text if char != " "),
}
"""How a text may be written so that a filter misses it and a model reads it."""


def spread(entry: Any) -> list[Any]:
    """The case, or one for each member of its family.

    Raises:
        ValueError: the family is none, or a member is not known.
    """
    if not isinstance(entry, dict) or not ({"family", "words"} & set(entry)):
        return [entry]
    family, words = entry.get("family"), entry.get("words")
    if not isinstance(family, list) or not family or not isinstance(words, str):
        raise ValueError("a family is a list of encodings, beside words: TEXT")
    if unknown := [str(name) for name in family if name not in ENCODINGS]:
        raise ValueError(f"there is no encoding {', '.join(unknown)}: use {', '.join(ENCODINGS)}")
    base = {key: value for key, value in entry.items() if key not in ("family", "words")}
    spreads = []
    for place, name in enumerate(family):
        filled = _filled(base, ENCODINGS[name](words))
        named = {"id": f"{base.get('id', 'case')}-{name}", "tags": [*base.get("tags", []), name]}
        spreads.append({"graphs": GRAPHS[place % 2 : place % 2 + 1], **filled, **named})
    return spreads


def _filled(value: Any, words: str) -> Any:
    if isinstance(value, str):
        return value.replace(WORDS, words)
    if isinstance(value, dict):
        return {key: _filled(one, words) for key, one in value.items()}
    return [_filled(one, words) for one in value] if isinstance(value, list) else value
