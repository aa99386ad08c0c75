"""Bytes from outside as text, by the charset they claim to have."""

from __future__ import annotations

import codecs

NO_CHARSETS = ("punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined")
"""Codecs of Python that are no charsets: some take hours for a large input."""


def decoded(data: bytes, charset: str | None) -> str:
    """By the declared charset, else as UTF-8; what does not decode is replaced."""
    try:
        name = codecs.lookup(charset or "utf-8").name
        return data.decode("utf-8" if name in NO_CHARSETS else name, "replace")
    except (LookupError, ValueError):  # unknown, or no codec for text
        return data.decode("utf-8", "replace")
