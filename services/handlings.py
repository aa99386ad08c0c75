"""BALLAST_UNTRUSTED: how the output of each untrusted tool reaches the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.extracts import HANDLINGS, Handling

FORM = f"one of {', '.join(HANDLINGS)} for all tools, and NAME=one of them for a tool: strict,read_file=marked"


@dataclass(frozen=True, kw_only=True)
class Handlings:
    """By tool, and of those not named."""

    usual: Handling = "strict"
    by_tool: Mapping[str, Handling] = field(default_factory=dict)

    def of(self, tool: str) -> Handling:
        """How this tool's output is handled."""
        return self.by_tool.get(tool, self.usual)

    def __str__(self) -> str:
        """As `parse_handlings` reads it."""
        return ",".join([self.usual, *(f"{name}={how}" for name, how in self.by_tool.items())])


def parse_handlings(text: str) -> Handlings:
    """Read `strict,NAME=marked,...`.

    Raises:
        ValueError: a part that does not read so, or a name twice.
    """
    usual: list[Handling] = []
    by_tool: dict[str, Handling] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, named, how = (one.strip() for one in part.rpartition("="))
        if how not in HANDLINGS or (named and (not name or name in by_tool)) or (not named and usual):
            raise ValueError(FORM)
        if named:
            by_tool[name] = how
        else:
            usual.append(how)
    return Handlings(usual=usual[0] if usual else "strict", by_tool=by_tool)
