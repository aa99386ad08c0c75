"""A tool result's own text, apart from what we put around it."""

from __future__ import annotations

import re

_WRAPPED = re.compile(
    r'(?P<head>(?:.*?\n)?<untrusted source="[^"]{0,200}"(?: handle="[^"]{0,100}")?>\n(?:Warning: [^\n]{0,400}\n)?)'
    r"(?P<text>.*)(?P<tail>\n</untrusted>)",
    re.DOTALL,
)


def bare(content: str) -> str:
    """What the tool gave."""
    found = _WRAPPED.fullmatch(content)
    return found["text"] if found else content


def with_text(content: str, text: str, before: str) -> str:
    """The same result holding another text, with `before` said of it outside what a stranger wrote."""
    found = _WRAPPED.fullmatch(content)
    return f"{before}\n{found['head']}{text}{found['tail']}" if found else f"{before}\n{text}"
