"""Keys, card numbers, account numbers and mail addresses, taken out of a text.

A first layer, like the detector: it knows values by their shape, and finds none that is spelled out or encoded. All of
it takes time linear in the text. Names and street addresses have no shape: a guard of your own asks a model for those.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from graph.budget import Budget
from graph.guards import Allowed, Redacted, Seen, Verdict

LEAST_CARD_DIGITS, MOST_CARD_DIGITS = 13, 19

# Each begins where no name goes on and has no gap that another of its kind can begin in: the search stays linear.
_SECRETS: dict[str, re.Pattern[str]] = {
    "private key": re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----\s*+(?:[A-Za-z-]{1,30}: [^\n]{0,200}\n){0,4}"
        r"[A-Za-z0-9+/=\s\\]*+(?:-----END [A-Z0-9 ]{0,60}-----)?"
    ),
    "key": re.compile(
        r"(?<![\w-])(?:"
        r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}(?!\w)"
        r"|gh[pousr]_[A-Za-z0-9]{36,255}+|github_pat_\w{22,255}+"
        r"|gl(?:pat|dt|ft|soat|rt|ptt|agent)-[\w-]{20,1024}+"
        r"|xox[abeoprs]-[\w-]{10,255}+|xapp-[\w-]{10,255}+"
        r"|[rs]k_(?:live|test)_[0-9A-Za-z]{20,255}+|whsec_[0-9A-Za-z+/=]{20,255}+"
        r"|sk-[\w-]{20,255}+|AIza[\w-]{35}|SG\.[\w-]{22}\.[\w-]{43}"
        r"|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,512}+|hf_[A-Za-z0-9]{30,100}+"
        r"|eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+"
        r")"
    ),
    "password": re.compile(r"(?<=://)[^\s/:@]{1,100}:[^\s/@]{1,200}(?=@)"),
}

_DIGITS = re.compile(r"(?<![\w.,])\d{3,}+(?!\w)")  # no card has shorter groups
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|2(?:2[2-9]\d|[3-6]\d\d|7[01]\d|720))\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35\d{14}|62\d{14,17}"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \u00a0]?[A-Za-z0-9]){11,30}")
_ADDRESS = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}+@[A-Za-z0-9-]{1,63}+(?:\.[A-Za-z0-9-]{1,63}+){1,8}+")

Found = Iterator[tuple[int, int, str]]
"""(begin, end, what) of each, in no order."""


def _secrets(text: str) -> Found:
    for what, pattern in _SECRETS.items():
        yield from ((*found.span(), what) for found in pattern.finditer(text))


def _cards(text: str) -> Found:
    groups = [found.span() for found in _DIGITS.finditer(text)]
    at = 0
    while at < len(groups):
        ended = _card_from(text, groups, at)
        if ended is not None:
            yield groups[at][0], groups[ended][1], "card number"
            at = ended
        at += 1


def _card_from(text: str, groups: list[tuple[int, int]], at: int) -> int | None:
    """The group a card number that begins in group `at` ends in."""
    digits, ended = "", groups[at][0] - 1
    for last in range(at, len(groups)):
        begin, end = groups[last]
        digits += text[begin : min(end, begin + MOST_CARD_DIGITS + 1)]
        if begin != ended + 1 or (last > at and text[ended] not in " -") or len(digits) > MOST_CARD_DIGITS:
            return None
        if len(digits) >= LEAST_CARD_DIGITS and _CARD.fullmatch(digits) and luhn(digits):
            return last
        ended = end
    return None


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others."""
    doubled = (int(one) * (1 + place % 2) for place, one in enumerate(reversed(digits)))
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0  # noqa: PLR2004 - the digits' sum


def _ibans(text: str) -> Found:
    at = 0
    while found := _IBAN.search(text, at):
        at = _iban_from(found) or found.start() + 2
        if at > found.start() + 2:
            yield found.start(), at, "IBAN"


def _iban_from(found: re.Match[str]) -> int | None:
    """Where an account number ends that begins where the match does: what follows may read as more of it."""
    places = [found.start() + place for place, char in enumerate(found.group()) if char.isalnum()]
    plain = "".join(found.string[place] for place in places).upper()
    try:
        length = IBAN(plain, allow_invalid=True).spec.iban_length
        valid = length <= len(plain) and IBAN(plain[:length], allow_invalid=True).is_valid
    except (SchwiftyException, ValueError):  # no such country
        return None
    return places[length - 1] + 1 if valid else None


def _addresses(text: str) -> Found:
    yield from ((*found.span(), "mail address") for found in _ADDRESS.finditer(text))


KINDS: dict[str, Callable[[str], Found]] = {
    "secrets": _secrets,
    "cards": _cards,
    "ibans": _ibans,
    "addresses": _addresses,
}
"""What can be taken out, as `redact:KIND` names it."""


@dataclass(frozen=True, kw_only=True)
class Redaction:
    """Takes out one kind of value. Each is replaced by what it was."""

    kind: str

    async def check(self, seen: Seen, *, budget: Budget) -> Verdict:  # noqa: ARG002 - it costs nothing
        """See `graph.guards.Guard.check`."""
        return await asyncio.to_thread(redacted, seen.text, self.kind)


def redacted(text: str, kind: str) -> Verdict:
    """The text without values of this kind."""
    counts: Counter[str] = Counter()
    kept: list[str] = []
    at = 0
    for begin, end, what in sorted(KINDS[kind](text)):
        if begin < at:
            continue
        kept += [text[at:begin], f"[{what} taken out]"]
        at = end
        counts[what] += 1
    if not counts:
        return Allowed()
    said = (f"{count} {what}{_plural(what) if count > 1 else ''}" for what, count in counts.items())
    return Redacted("".join([*kept, text[at:]]), ", ".join(said))


def _plural(what: str) -> str:
    return "es" if what.endswith("s") else "s"
