"""Addresses in what an agent says: one that nobody trusted gave is no link and no image any more; it can still be read.

Where a page shows Markdown, an image is fetched by whoever looks at it, and its address may carry what was read.
Default-deny: what is a link in some reading of the text is broken unless its whole address is known to be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

Trusts = Callable[[str], bool]
"""Whether an address comes from somebody we trust."""

_ADDRESS = re.compile(r"[a-z0-9+.-]{1,20}://[^\s<>]*", re.IGNORECASE)
_BARE = re.compile(r"(?<![a-z0-9.@/-])www\\*\.[^\s<>]*", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,20});", re.IGNORECASE)
_OF_ADDRESSES = re.compile(r"[a-z0-9:/.@-]", re.IGNORECASE)
_ESCAPED = re.compile(r"\\+(?=[:/])")
_AROUND = ")]}.,;:!?*_'|\"`"
"""Ends a sentence, a bracket or a quotation rather than an address. Within one, it may be part of a host's name."""

_TARGET = re.compile(r"\](?P<kind>[(:])(?=(?P<target>\s*<?https?://)?)", re.IGNORECASE)
_TAG = re.compile(r"<(?=(?:style|script)\b|[a-z0-9][^<>\s/=:@]*[\s/=:@])(?!https?://)", re.IGNORECASE)
_SIGN = re.compile(r"//|\]\(|\]:|<|www|&|\\[:/]", re.IGNORECASE)
_NO_BRACKET = "\u2039"


def trusts_none(_address: str) -> bool:
    """Where nothing tells who gave an address."""
    return False


def defused(text: str, trusts: Trusts = trusts_none) -> str:
    """The text with every address that is not trusted as plain words; time is linear in it."""
    if not _SIGN.search(text):
        return text
    text = _ESCAPED.sub("", _ENTITY.sub(_decoded, text))  # as every reader of Markdown does
    text = _ADDRESS.sub(lambda found: _defanged(found.group(), "://", "[:]//", trusts), text)
    text = _BARE.sub(lambda found: _defanged(found.group(), ".", "[.]", trusts), text)
    text = _TARGET.sub(_untargeted, text)
    return _TAG.sub(_NO_BRACKET, text)


def _decoded(found: re.Match[str]) -> str:
    char = unescape(found.group())
    return char if _OF_ADDRESSES.fullmatch(char) else found.group()


def _defanged(address: str, sign: str, instead: str, trusts: Trusts) -> str:
    if trusts(address.rstrip(_AROUND)):
        return address
    return address.replace(sign, instead)


def _untargeted(found: re.Match[str]) -> str:
    """Only what is left as an address now is a trusted one; everything else is none, however it may be read."""
    return found.group() if found["target"] else f"] {found['kind']}"
