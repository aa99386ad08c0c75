"""Characters no reader sees: they can carry a whole message past a person to a model."""

from __future__ import annotations

import re
import unicodedata

_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufdd0-\ufdef\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U00016fe4\U0001d159\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties) where the category says letter, mark or nothing:
variation selectors, joiners, fillers. Besides, noncharacters and the symbols that are drawn empty."""

_EMOJI = "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u27ff\u2900-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
_JOINING = "[\u0600-\u0dff]"
_ORDINARY = re.compile(
    f"{_EMOJI}\ufe0f?\u200d(?={_EMOJI})|{_EMOJI}[\ufe0e\ufe0f]|[0-9#*]\ufe0f(?=\u20e3)"
    # The flags of England, Scotland and Wales are spelled in tag characters.
    "|\U0001f3f4\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074"
    "|\U000e0077\U000e006c\U000e0073)\U000e007f"
    # Persian and the scripts of India choose letter forms with joiners; German hyphenates with soft hyphens.
    f"|{_JOINING}[\u200c\u200d](?={_JOINING})|\\w\u00ad(?=\\w)"
)


def without_invisible(text: str) -> str:
    """The text without control, format (zero-width, direction, tag), surrogate, private and blank characters."""
    if text.isascii() and text.replace("\n", " ").replace("\t", " ").isprintable():
        return text  # found out in a tenth of the time
    unseen = {ord(char): None for char in set(text) if not _shows(char)}
    return text.translate(unseen) if unseen else text


def count_invisible(text: str) -> int:
    """How many characters `without_invisible` takes out, not counting what ordinary writing needs.

    Ordinary is one selector behind an emoji, the joiners inside an emoji or a word: they are taken out all the
    same, but a text full of them is no reason for a warning.
    """
    if without_invisible(text) is text:  # as most texts are
        return 0
    ordinary = _ORDINARY.sub("", text)
    return len(ordinary) - len(without_invisible(ordinary))


def _shows(char: str) -> bool:
    return char in "\n\t" or (unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co") and not _BLANK.match(char))
