"""Templates, and the static files beside them: read once, when the server starts. No request waits for a disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from app.marking import Span
from app.pages.plan import estimate_in_words
from app.pages.readable import as_json, readable, words
from app.plan_view import WORDS
from app.visible import pieces, visible
from nodes.origins import from_outside

CUT_CHARS, CUT_LINES = 1_200, 24
"""What is shown of a long value before it is asked for whole."""

MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A static file."""

    body: bytes
    media_type: str
    version: str
    """Of its content: part of its address, so that it may be kept for ever."""


class Pages:
    """Renders templates by name."""

    def __init__(self) -> None:
        self.assets = _assets()
        sources = {entry.name: entry.read_text() for entry in (_here() / "templates").iterdir()}
        self._environment = Environment(
            loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.tests["from_outside"] = from_outside
        self._environment.filters |= {
            "shown": shown,
            "plain": visible,
            "words": words,
            "utc": utc,
            "usd": usd,
            "as_json": as_json,
        }
        self._environment.globals |= {
            "readable": readable,
            "asset": self._address,
            "cut": cut,
            "marked": marked,
            "standing_words": WORDS,
            "estimate_in_words": estimate_in_words,
        }
        for name in sources:
            self._environment.get_template(name)  # a mistake in one is found now, not by a person

    def respond(self, template: str, values: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
        """A page, or a part of one."""
        return HTMLResponse(self._environment.get_template(template).render(values), status)

    def _address(self, name: str) -> str:
        return f"/inbox/static/{name}?{self.assets[name].version}"


def shown(text: str) -> Markup:
    """Text from a model or from outside: escaped, and what would hide or turn it round spelt out and marked."""
    parts = pieces(str(text).replace("\r\n", "\n"))
    return Markup().join(
        Markup('<b class="spelt" title="a character that does not show">{}</b>').format(part)
        if hidden
        else escape(part)
        for part, hidden in parts
    )


def marked(text: str, spans: Sequence[Span]) -> Markup:
    r"""The same with these places of it marked. Lines end in \n: another end would move the places."""
    made, at = Markup(), 0
    for start, end in spans:
        made += shown(text[at:start]) + Markup("<mark>{}</mark>").format(shown(text[start:end]))
        at = end
    return made + shown(text[at:])


def cut(text: str) -> tuple[str, str]:
    """What is shown of a long text at once, and the rest; it is cut at the end of a line where there is one."""
    head = "\n".join(text[:CUT_CHARS].split("\n")[:CUT_LINES])
    return (text, "") if len(head) == len(text) else (head, text[len(head) :])


def utc(moment: datetime) -> str:
    """As people read it where no script makes it local."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def usd(amount: Decimal | float) -> str:
    """Small sums are what runs cost."""
    return f"${amount:.4f}" if amount < 1 else f"${amount:,.2f}"


def _here() -> Any:
    return resources.files("app.pages")


def _assets() -> dict[str, Asset]:
    return {
        entry.name: Asset(
            body=(body := entry.read_bytes()),
            media_type=MEDIA_TYPES[entry.name.rpartition(".")[2]],
            version=hashlib.sha256(body).hexdigest()[:12],
        )
        for entry in (_here() / "static").iterdir()
    }
