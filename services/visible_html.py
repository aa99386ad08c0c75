"""What a browser would show of a piece of HTML, and what it would not: parsed by libxml2, in linear time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

_LOOKS_LIKE_HTML = re.compile(r"<(?:!--|!doctype|/?[a-z][a-z0-9:-]*[ \t\n/>])", re.IGNORECASE)
# Text, not markup: a mail or web address in angle brackets, a comparison. Read as an element it would vanish.
_NO_TAG = re.compile(
    r"<(?=https?://[^\s<>]*>)|<(?!!--|!\[|!doctype|[!?][a-z]|/[^a-z]|/?[a-z][a-z0-9:-]*[ \t\n/>])", re.IGNORECASE
)
_NO_COMMENT = re.compile(r"<(?!!--)")
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>", re.IGNORECASE)
"""Feeds write their text between these."""

_NO_END = re.compile(r"</(?=(?:html|body)[ \t\n/>])", re.IGNORECASE)
"""Of a page, and of its body: neither ends an element that is open in it, as the parser would have it."""
_NO_ELEMENT = "</a_"
"""How an end begins that ends nothing: what is written `<a_...` is no tag here."""
_NO_SLASH = re.compile("(?<!<)/>")
"""To a browser the slash is nothing, to the parser the end of the element: `<div hidden/>` hides what follows."""
_PAGE = re.compile(r"<(html|body)(?=[ \t\n])", re.IGNORECASE)
"""The parser tells nothing of these tags' attributes, which may hide all of it: an element within gets them."""

_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_HIDING_STYLE = re.compile(
    r"display\s*+:\s*+none|visibility\s*+:\s*+(?:hidden|collapse)|opacity\s*+:\s*+0(?:\.0+)?(?![.\d])"
    r"|font-size\s*+:\s*+(?:0(?:\.0+)?(?![.\d])|[01](?:\.\d+)?px)|(?<![\w-])color\s*+:\s*+transparent"
    r"|(?:left|top|text-indent)\s*+:\s*+-\d{3,}"
    r"|(?<![\w-])(?:max-)?(?:height|width)\s*+:\s*+0(?:px)?\s*+(?:;|$|!)",
    re.IGNORECASE,
)
_NEVER_SHOWN = frozenset(
    ("script", "style", "template", "noscript", "head", "title", "iframe", "noembed", "noframes"),
)
_INSTEAD = frozenset(("audio", "canvas", "datalist", "object", "rp", "video"))
"""Their words are for browsers that can't show them."""
_UNSHOWN = _NEVER_SHOWN | _INSTEAD
_LINES = frozenset(
    ("address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "figure", "footer", "form", "header", "hr")
) | {"h1", "h2", "h3", "h4", "h5", "h6", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul"}
_CELLS = frozenset(("td", "th"))
_PARTS = _LINES | _CELLS | {"br"}

TOO_DEEP = "[the rest is nested too deep to be read]"
MOST_DEEP, PIECE_CHARS = 1_000, 4_096
"""Most elements that may be open after a piece of this length. An end tag that ends none is compared with all of them:
without a limit that takes time quadratic in the text."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A piece of HTML, read."""

    shown: str
    """Its visible text, a line for each block."""
    concealed: tuple[str, ...]
    """The words of each comment and hidden element."""
    beside: tuple[str, ...]
    """All else that is written there: attributes, scripts, styles and the like."""


def looks_like_html(text: str) -> bool:
    """Whether the text holds the beginning of a tag or a comment."""
    return _LOOKS_LIKE_HTML.search(text) is not None


def read_html(markup: str) -> Page:
    """Part what a browser would show from what it would not. Broken markup may hide more than in a browser."""
    reader = _Reader()
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, target=reader)  # type: ignore[arg-type]  # it gives str, its stubs also bytes
    text = f"<html>{_prepared(markup)}"
    for at in range(0, len(text), PIECE_CHARS):
        parser.feed(text[at : at + PIECE_CHARS])
        if reader.depth > MOST_DEEP:
            reader.shown.append(f"\n{TOO_DEEP}")
            break
    else:
        parser.close()
    return Page(
        shown="".join(reader.shown), concealed=tuple(map("".join, reader.concealed)), beside=tuple(reader.beside)
    )


def _prepared(markup: str) -> str:
    """The markup as the parser must get it to see what a browser sees."""
    if "<![" in markup or "]]>" in markup:  # hardly any has them, and `re` looks for them ten times as long
        markup = _CDATA.sub("", markup)
    text = _NO_SLASH.sub(" >", _NO_END.sub(_NO_ELEMENT, _NO_TAG.sub("&lt;", markup)))
    text = _PAGE.sub(r"<\1><div", text)
    ended = text.rfind(">") + 1  # behind the last bracket no tag comes to its end
    return text[:ended] + _NO_COMMENT.sub("&lt;", text[ended:])


@dataclass(kw_only=True)
class _Reader:
    shown: list[str] = field(default_factory=list)
    concealed: list[list[str]] = field(default_factory=list)
    """Each in parts: text comes in pieces."""
    beside: list[str] = field(default_factory=list)
    hidden: list[bool] = field(default_factory=list)
    """For each open element inside a hidden one, the outermost first: whether its words are reported."""
    depth: int = 0
    """How many elements are open."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self.depth += 1
        if attributes:
            self.beside.extend(attributes.values())
        if self.hidden:
            self.hidden.append(self.hidden[0])
        elif name in _UNSHOWN or (attributes and _hides(attributes)) or (name == "dialog" and "open" not in attributes):
            self.hidden.append(name not in _NEVER_SHOWN)
            if self.hidden[0]:
                self.concealed.append([])
        elif name in _PARTS:
            self._part(name)

    def end(self, name: str) -> None:
        """It comes to its end."""
        self.depth -= 1
        if self.hidden:
            self.hidden.pop()
        elif name in _PARTS and name != "br":
            self._part(name)

    def data(self, text: str) -> None:
        """Words."""
        if not self.hidden:
            self.shown.append(text)
        else:
            (self.concealed[-1] if self.hidden[0] else self.beside).append(text)

    def comment(self, text: str) -> None:
        """A comment."""
        self.concealed.append([text])

    def pi(self, target: str, text: str | None) -> None:
        """A processing instruction."""
        del target
        self.concealed.append([text or ""])

    def close(self) -> None:
        """The end."""

    def _part(self, name: str) -> None:
        if name == "br":
            self.shown.append("\n")
        elif name in _CELLS:
            if self.shown and not self.shown[-1].endswith(("\n", "\t")):
                self.shown.append("\t")
        elif self.shown and not self.shown[-1].endswith("\n"):
            self.shown.append("\n")


def _hides(attributes: Mapping[str, str]) -> bool:
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden", "").strip().lower() == "true"
        or _HIDING_STYLE.search(_CSS_COMMENT.sub("", attributes.get("style", ""))) is not None
    )
