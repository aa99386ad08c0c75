"""Extracts: all of an untrusted text that the deciding model sees, in a form its writer can't choose."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Handling = Literal["strict", "marked", "raw"]
"""How a tool's untrusted output reaches the model. `strict`: as an extract, the text itself stays in quarantine.
`marked`: the text, cleaned and delimited as data. `raw`: as it is, from a source the operator trusts."""

HANDLINGS: tuple[Handling, ...] = ("strict", "marked", "raw")

NAME_CHARS, VALUE_CHARS, FACTS = 40, 200, 40
"""The default form holds at most so many facts, with names and values of so many characters."""

_ONE_LINE = r"^[^\r\n]*$"

Name = Annotated[str, StringConstraints(max_length=NAME_CHARS, pattern=_ONE_LINE)]
Line = Annotated[str, StringConstraints(max_length=VALUE_CHARS, pattern=_ONE_LINE)]


class Extract(BaseModel):
    """What an extractor may say of a text. A tool's own form derives from it: short, typed fields, each with a cap."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The extract of a text whose shape is the tool's own, made without a model; None of any other text."""
        del text
        return None

    def shown(self) -> str:
        """As the model reads it: each value on a line of its own."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1)


class Fact(BaseModel):
    """One thing the text says."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: Name = Field("", description="What it is, such as sender, due date or total.")
    value: bool | int | float | Line = Field(description="The value, exactly as written.")

    def line(self) -> str:
        """As it is shown."""
        value = self.value if isinstance(self.value, str) else json.dumps(self.value)
        return f"{self.name}: {value}" if self.name else value


class Facts(Extract):
    """What a text says that matters to the request, one fact at a time."""

    about: Line = Field("", description="What kind of text it is, and what about.")
    facts: Annotated[list[Fact], Field(max_length=FACTS)] = Field(description="What of it matters to the request.")

    def shown(self) -> str:
        """One fact a line."""
        return "\n".join([*([f"[{self.about}]"] if self.about else []), *(fact.line() for fact in self.facts)])
