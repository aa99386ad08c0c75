"""The form of what tools list: a line for each thing, made without a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graph.extracts import VALUE_CHARS, Extract, Line

MOST = 500


class Listing(Extract):
    """What there is, a line for each."""

    lines: Annotated[list[Line], Field(max_length=MOST + 1)]

    @classmethod
    def read(cls, text: str) -> Listing:
        """The lines as they stand; a long one ends early."""
        lines = text.splitlines()
        more = [f"[{len(lines) - MOST} more]"] if len(lines) > MOST else []
        kept = (one if len(one) <= VALUE_CHARS else f"{one[: VALUE_CHARS - 1]}…" for one in lines[:MOST])
        return cls(lines=[*kept, *more])

    def shown(self) -> str:
        """One a line."""
        return "\n".join(self.lines)
