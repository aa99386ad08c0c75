"""Whether an attacker's text, or anything made of it, stands in a prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage, BaseMessage

CHUNK = 14
"""Letters and digits that are a trace of a text: too many to stand anywhere by chance."""

RAW = 60
"""So many in a row, outside of an extract's fields, are the text itself and not what somebody made of it."""

_ESCAPED = re.compile(r"\\(?:[nrtbf]|u[0-9a-fA-F]{4})")
_LOOSE = re.compile(r"[\W_]+")


def squeezed(text: str) -> str:
    """Letters and digits alone: how a text was wrapped, quoted or spaced does not matter."""
    return _LOOSE.sub("", unicodedata.normalize("NFKC", _ESCAPED.sub(" ", text)).casefold())


def chunks(text: str, width: int) -> list[str]:
    """Pieces side by side: what holds a run twice as long holds one of them whole."""
    whole = squeezed(text)
    return [whole[at : at + width] for at in range(0, len(whole) - width + 1, width)]


@dataclass(kw_only=True)
class Watch:
    """Looks for an attacker's texts in one run's prompts. Each message is read once."""

    payloads: Sequence[str]
    usual: str
    """Squeezed: what stands there is no trace."""
    fields: set[str] = field(default_factory=set)
    """What an extractor wrote, squeezed: a line that is one of these came in a field of an extract, and is not raw."""
    exposed: bool = False
    raw: bool = False
    _known: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._traces = self._telling(CHUNK)
        self._whole = self._telling(RAW)

    def sees(self, messages: Iterable[BaseMessage]) -> bool:
        """Whether they show a trace now, or did before."""
        for message in messages:
            text = _text(message)
            mark = hash(text)
            if mark in self._known:
                continue
            self._known.add(mark)
            found = squeezed(text)
            if any(one in found for one in self._traces):
                self.exposed = True
                self.raw = self.raw or self._is_raw(text)
        return self.exposed

    def _is_raw(self, text: str) -> bool:
        left = "".join(line for line in map(squeezed, text.splitlines()) if line not in self.fields)
        return any(one in left for one in self._whole)

    def _telling(self, width: int) -> list[str]:
        found = {one for text in self.payloads for one in chunks(text, width)}
        return sorted(one for one in found if one not in self.usual)


def _text(message: BaseMessage) -> str:
    """A reply's own calls are no reading of it."""
    return "" if isinstance(message, AIMessage) else str(message.text)
