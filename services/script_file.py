"""The YAML of a scripted model: read once, checked field by field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from graph.errors import BadSetting
from services.yaml_loader import LOADER

Failure = Literal["rate_limit", "timeout", "server_error", "malformed_json", "empty", "truncated"]
"""How a turn goes wrong. The first four raise, the last two are replies nobody can use."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class ScriptedCall(_Part):
    """A tool call with good arguments."""

    name: str = Field(min_length=1)
    args: dict[str, Any] = {}
    id: str | None = None


class RawCall(_Part):
    """A tool call whose arguments are the text given, JSON or not."""

    name: str = Field(min_length=1)
    arguments: str
    id: str | None = None


class Tokens(_Part):
    """What a turn counts as."""

    input_tokens: int = Field(0, ge=0)
    output_tokens: int = Field(0, ge=0)


class Turn(_Part):
    """One reply of the model."""

    content: str | None = None
    tool_calls: tuple[ScriptedCall, ...] = ()
    raw_tool_calls: tuple[RawCall, ...] = ()
    error: Failure | None = None
    usage: Tokens | None = None
    delay_s: float = Field(0.0, ge=0, le=3_600)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        calls = bool(self.tool_calls or self.raw_tool_calls)
        if self.error and calls:
            raise ValueError("error goes without tool_calls")
        if self.error and self.content is not None and self.error != "truncated":
            raise ValueError("only error: truncated goes with content")
        if not self.error and not calls and self.content is None:
            raise ValueError("needs content, tool_calls, raw_tool_calls or error")
        return self


class TokenPrice(_Part):
    """US dollars a million tokens."""

    input_per_mtok: float = Field(0.0, ge=0)
    output_per_mtok: float = Field(0.0, ge=0)


class Script(_Part):
    """A whole script. The lists beside `turns` are played for the other roles."""

    turns: tuple[Turn, ...]
    price: TokenPrice = TokenPrice()
    planner: tuple[Turn, ...] = ()
    subtasks: dict[str, tuple[Turn, ...]] = {}
    """By the id the planner gave the sub-task."""
    extractor: tuple[Turn, ...] = ()
    judge: tuple[Turn, ...] = ()
    summarizer: tuple[Turn, ...] = ()
    reader: tuple[Turn, ...] = ()


def read_script(file: Path) -> Script:
    """Read and check a script.

    Raises:
        BadSetting: one line with the file, the turn (counted from 1) and the field.
    """
    try:
        data = yaml.load(file.read_text("utf-8"), LOADER)  # noqa: S506 - both are safe loaders
    except OSError as error:
        raise BadSetting(f"can't read script {file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BadSetting(f"script {file} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise BadSetting(f"script {file} is not YAML: {_yaml_fault(error)}") from None
    if not isinstance(data, dict):
        raise BadSetting(f"script {file} must be a mapping with a list of turns")
    try:
        return Script.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = _place(first["loc"])
        told = "no such field" if first["type"] == "extra_forbidden" else first["msg"]
        raise BadSetting(f"script {file}{where}: {told.removeprefix('Value error, ')}") from None


def _place(loc: tuple[int | str, ...]) -> str:
    """`('turns', 1, 'tool_calls', 0, 'arg')` as `, turn 2, tool_calls.1.arg`."""
    parts: list[int | str] = [part + 1 if isinstance(part, int) else part for part in loc]
    words = []
    if len(parts) > 1 and isinstance(parts[1], int):
        words.append(f"turn {parts[1]}" if parts[0] == "turns" else f"{parts[0]} turn {parts[1]}")
        parts = parts[2:]
    if parts:
        words.append(".".join(str(part) for part in parts))
    return "".join(f", {word}" for word in words)


def _yaml_fault(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).splitlines()[0]
