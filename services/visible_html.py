"""What a browser would show of a piece of HTML, and what it would not, in one pass over the text.

The tokens are those of the HTML standard (https://html.spec.whatwg.org/multipage/parsing.html#tokenization). There
is no tree: a hidden element lasts until its own end tag, or a start tag that ends it. Broken markup may so hide more
than in a browser, to the end of the text; the rules lean that way. And nothing is read twice: the standard
library's parser, which also differs between Python's patch releases, reads the rest again for every tag without an
end.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_LOOKS_LIKE_HTML = re.compile(r"<(?:!--|!doctype|/?[a-z][a-z0-9:-]*[ \t\n/>])", re.IGNORECASE)
# A mail or web address in angle brackets is no element; read as one it would vanish.
_TOKEN = re.compile(
    r"<(?!https?://[^\s<>]*>)(?:(?P<comment>!--)|(?P<cdata>!\[CDATA\[)|(?P<declaration>!doctype|\?xml)"
    r"|(?P<bogus>[!?][a-z\[]|/[^a-z])"
    r"|(?P<end>/?)(?P<name>[a-z][a-z0-9:-]*)(?=[ \t\n/>]))",
    re.IGNORECASE,
)
_COMMENT_END = re.compile(r"--!?>")
_ATTRIBUTE = re.compile(
    r"[ \t\n/]*+([^ \t\n/>][^ \t\n/>=]*+)"
    r"""(?:[ \t\n]*+=[ \t\n]*+(?:"([^"]*+)(?:"|\Z)|'([^']*+)(?:'|\Z)|([^ \t\n>]*+)))?"""
)
_TAG_END = re.compile(r"([ \t\n/]*+)>")
# int() refuses more than 4,300 digits; nine are beyond Unicode already.
_LONG_NUMBER = re.compile(r"&#0*+([0-9]{0,9})[0-9]*+")

_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_HIDING_STYLE = re.compile(
    r"display\s*+:\s*+none|visibility\s*+:\s*+(?:hidden|collapse)|opacity\s*+:\s*+0(?:\.0+)?(?![.\d])"
    r"|font-size\s*+:\s*+(?:0(?:\.0+)?(?![.\d])|[01](?:\.\d+)?px)|(?<![\w-])color\s*+:\s*+transparent"
    r"|(?:left|top|text-indent)\s*+:\s*+-\d{3,}"
    r"|(?<![\w-])(?:max-)?(?:height|width)\s*+:\s*+0(?:px)?\s*+(?:;|$|!)",
    re.IGNORECASE,
)
_NEVER_SHOWN = frozenset(
    ("script", "style", "template", "noscript", "head", "iframe", "object", "noembed", "noframes"),
)
_RAW = {
    name: re.compile(rf"</{name}(?=[ \t\n/>])", re.IGNORECASE)
    for name in ("script", "style", "noscript", "iframe", "noembed", "noframes", "title", "textarea", "xmp")
}
"""Elements whose content is no markup, with what ends it."""

_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"),
)
_DRAWN = frozenset(("circle", "ellipse", "g", "image", "line", "path", "polygon", "polyline", "rect", "svg", "use"))
"""What a slash ends in a drawing. In HTML proper a browser takes no notice of it."""

_SECTIONS = frozenset(
    ("address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "figure", "footer", "header", "hr", "li")
) | {"h1", "h2", "h3", "h4", "h5", "h6", "main", "nav", "ol", "p", "pre", "section", "ul"}
_LINES = _SECTIONS | {"form", "table", "title", "tr"}
_CELLS = frozenset(("td", "th"))
_ENDED_BY = {
    "head": frozenset(("body",)),
    "p": _SECTIONS,
    "li": frozenset(("li",)),
    "dt": frozenset(("dt", "dd")),
    "dd": frozenset(("dt", "dd")),
    "tr": frozenset(("tr", "tbody", "tfoot")),
    "td": frozenset(("td", "th", "tr")),
    "th": frozenset(("td", "th", "tr")),
    "option": frozenset(("option", "optgroup")),
}
"""Elements that need no end tag, and the start tags that end them."""

_SCOPES = frozenset(("applet", "button", "marquee", "math", "object", "select", "svg", "table", "template"))
"""Elements an end tag can't reach out of."""

_BLOCKS = _LINES | _CELLS | _SCOPES
_SCOPES_OF = {"li": _SCOPES | {"ol", "ul"}, **dict.fromkeys(_BLOCKS - {"form", "li"}, _SCOPES)}
"""What an end tag can't reach out of, by its name; for all others it is every block."""

_NEVER_ENDED = ("html", "body")
"""What follows their end tags is put into them all the same."""

_DEEPEST = 100
"""Most elements followed inside a hidden one. Deeper, the rest of the text counts as hidden."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A piece of HTML, read."""

    shown: str
    """Its visible text, a line for each block."""
    concealed: tuple[str, ...]
    """The words of each comment and hidden element. Scripts, styles and the like are in neither."""


def looks_like_html(text: str) -> bool:
    """Whether the text holds the beginning of a tag or a comment."""
    return _LOOKS_LIKE_HTML.search(text) is not None


def read_html(markup: str) -> Page:
    """Part what a browser would show from what it would not, in time linear in the length of `markup`."""
    return _Reader(markup).read()


@dataclass(kw_only=True)
class _Hidden:
    """The hidden element the reader is in."""

    name: str
    open: list[str]
    """The open elements from it downwards, by name."""
    words: list[str] = field(default_factory=list)

    def start(self, name: str) -> None:
        if len(self.open) > _DEEPEST:
            return
        while self.open and name in _ENDED_BY.get(self.open[-1], ()):
            self.open.pop()
        if self.open:
            self.open.append(name)

    def end(self, name: str) -> None:
        if name in _NEVER_ENDED or len(self.open) > _DEEPEST:
            return
        scopes = _SCOPES_OF.get(name, _BLOCKS)
        for place in range(len(self.open) - 1, -1, -1):
            if self.open[place] == name:
                del self.open[place:]
            elif self.open[place] not in scopes:
                continue
            return


class _Reader:
    def __init__(self, markup: str) -> None:
        self._markup = markup
        # Behind the last > there is no tag: in "a <b" a browser sees one, the writer of a plain text none.
        self._last_end = markup.rfind(">")
        self._shown: list[str] = []
        self._concealed: list[str] = []
        self._hidden: _Hidden | None = None
        self._drawings = 0

    def read(self) -> Page:
        at = 0
        while token := _TOKEN.search(self._markup, at):
            self._text(_decoded(self._markup[at : token.start()]))
            at = self._read_token(token)
        self._text(_decoded(self._markup[at:]))
        self._show_again()
        return Page(shown="".join(self._shown), concealed=tuple(self._concealed))

    def _read_token(self, token: re.Match[str]) -> int:
        """Take in one token; where the next text begins."""
        if token["comment"]:
            end = _COMMENT_END.search(self._markup, token.start() + 2)  # "<!-->" is a comment
            return self._conceal(token.end(), end.span() if end else None)
        if token["cdata"]:
            # Feeds write their text so. In a hidden element it must not be able to hold the end tag.
            return self._conceal(token.end(), self._find("]]>", token.end())) if self._hidden else token.end()
        if token["declaration"]:
            return (self._find(">", token.end()) or (0, len(self._markup)))[1]
        if token["bogus"]:
            return self._conceal(token.start() + 1, self._find(">", token.start() + 1))
        if token.start() > self._last_end:
            self._text(token.group())
            return token.end()
        return self._read_tag(token)

    def _find(self, what: str, at: int) -> tuple[int, int] | None:
        start = self._markup.find(what, at)
        return None if start < 0 else (start, start + len(what))

    def _conceal(self, start: int, end: tuple[int, int] | None) -> int:
        """Leave out from `start` to `end`, or all the rest when it has none; where the next text begins."""
        stop, after = end or (len(self._markup), len(self._markup))
        self._concealed.append(self._markup[start:stop])
        return after

    def _read_tag(self, token: re.Match[str]) -> int:
        attributes, at = _attributes(self._markup, token.end())
        end = _TAG_END.match(self._markup, at)
        if end is None:
            return self._conceal(token.start(), None)
        name = token["name"].lower()
        if token["end"]:
            self._end(name)
            return end.end()
        self._start(name, attributes, closed=end[1].endswith("/"))
        return self._read_raw(name, end.end()) if name in _RAW else end.end()

    def _read_raw(self, name: str, at: int) -> int:
        end = _RAW[name].search(self._markup, at)
        stop = end.start() if end else len(self._markup)
        self._text(_decoded(self._markup[at:stop]))
        return stop

    def _start(self, name: str, attributes: Mapping[str, str], *, closed: bool) -> None:
        if name in _VOID or (closed and name in _DRAWN and (self._drawings or name == "svg")):
            if name in ("br", "hr") and not self._hidden:
                self._shown.append("\n")
            return
        self._drawings += name == "svg"
        if self._hidden:
            self._hidden.start(name)
            if self._hidden.open:
                return
            self._show_again()
        if name in _LINES and self._shown and not self._shown[-1].endswith("\n"):
            self._shown.append("\n")
        if _hides(name, attributes):
            self._hidden = _Hidden(name=name, open=[name])

    def _end(self, name: str) -> None:
        self._drawings -= name == "svg" and self._drawings > 0
        if self._hidden:
            self._hidden.end(name)
            if not self._hidden.open:
                self._show_again()
        elif name in _LINES:
            self._shown.append("\n")
        elif name in _CELLS:
            self._shown.append("\t")

    def _show_again(self) -> None:
        if self._hidden and self._hidden.name not in _NEVER_SHOWN:
            self._concealed.append("".join(self._hidden.words))
        self._hidden = None

    def _text(self, text: str) -> None:
        if text:
            (self._hidden.words if self._hidden else self._shown).append(text)


def _attributes(markup: str, at: int) -> tuple[dict[str, str], int]:
    """A tag's attributes from `at` on, and where they end. The first of a name counts."""
    found: dict[str, str] = {}
    while attribute := _ATTRIBUTE.match(markup, at):
        name, *values = attribute.groups()
        found.setdefault(name.lower(), next((value for value in values if value), ""))
        at = attribute.end()
    return found, at


def _hides(name: str, attributes: Mapping[str, str]) -> bool:
    return (
        name in _NEVER_SHOWN
        or "hidden" in attributes
        or _decoded(attributes.get("aria-hidden", "")).strip().lower() == "true"
        or _HIDING_STYLE.search(_CSS_COMMENT.sub("", _decoded(attributes.get("style", "")))) is not None
    )


def _decoded(text: str) -> str:
    return html.unescape(_LONG_NUMBER.sub(r"&#0\1", text)) if "&" in text else text
