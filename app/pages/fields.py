"""The form of an edit: one field an argument, typed by the tool's schema, and what was typed read back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.tools import BaseTool
from pydantic import BaseModel

from app.pages.readable import as_json, words
from app.visible import visible_text

Kind = Literal["text", "long", "number", "choice", "json"]

PREFIX = "arg."
"""What the names of an edit's fields begin with, so that no argument can stand for another part of the form."""

LONG_TEXT = 80
LONGEST = 100_000
"""A value of more characters is not edited on a page."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One argument in the form."""

    name: str
    label: str
    kind: Kind
    text: str
    """What the field shows: the argument, or what was typed."""
    required: bool = True
    about: str = ""
    """The tool's own description of it."""
    options: tuple[str, ...] = ()
    editable: bool = True
    hides: bool = False
    """Whether the argument holds characters that are spelt out here."""
    error: str = ""


class UnreadableField(ValueError):
    """What was typed is no JSON where JSON is wanted: {field name: why}."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = dict(faults)
        super().__init__("; ".join(f"{name}: {why}" for name, why in faults.items()))


def fields_of(tool: BaseTool | None, args: Mapping[str, Any]) -> tuple[Field, ...]:
    """A field for each argument the tool takes, and for each the call has."""
    schema = _schema(tool)
    properties, required = schema.get("properties", {}), schema.get("required", [])
    names = dict.fromkeys([*properties, *args])
    return tuple(
        _field(name, properties.get(name, {}), args.get(name), given=name in args, required=name in required)
        for name in names
    )


def typed_into(fields: Sequence[Field], form: Mapping[str, str], faults: Mapping[str, str]) -> tuple[Field, ...]:
    """The same fields as they were sent, with what is wrong beside each."""
    return tuple(
        replace(field, text=form.get(PREFIX + field.name, field.text), error=faults.get(field.name, ""))
        for field in fields
    )


def arguments(fields: Sequence[Field], form: Mapping[str, str], args: Mapping[str, Any]) -> dict[str, Any]:
    """The call's arguments as they were typed; a field that was not touched keeps its argument exactly.

    Raises:
        UnreadableField: a field wants JSON and holds something else.
    """
    made: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for field in fields:
        typed = form.get(PREFIX + field.name)
        if typed is None or _lines(typed) == _lines(field.text):
            if field.name in args:
                made[field.name] = args[field.name]
        elif typed.strip() or field.kind in ("text", "long"):
            try:
                made[field.name] = _value(field, _lines(typed))
            except ValueError as error:
                faults[field.name] = f"not JSON: {error}"
        elif field.required:
            faults[field.name] = "needs a value"
    if faults:
        raise UnreadableField(faults)
    return made


def _value(field: Field, typed: str) -> Any:
    """Numbers stay text: the tool's schema reads them."""
    return json.loads(typed) if field.kind in ("json", "choice") else typed


def _lines(text: str) -> str:
    """Forms end lines with CRLF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _schema(tool: BaseTool | None) -> dict[str, Any]:
    shown = tool.tool_call_schema if tool else None
    if isinstance(shown, dict):
        return shown
    return shown.model_json_schema() if isinstance(shown, type) and issubclass(shown, BaseModel) else {}


def _field(name: str, schema: Mapping[str, Any], value: Any, *, given: bool, required: bool) -> Field:
    given = given and not (value is None and "null" in _types(schema))  # shown empty, as one that was left out
    kind, options = _kind(schema, value, given=given)
    plain = _as_text(value, kind) if given else ""
    text = visible_text(_lines(plain))
    if kind == "text" and (len(text) > LONG_TEXT or "\n" in text):
        kind = "long"
    return Field(
        name=name,
        label=words(name),
        kind=kind,
        text=text,
        required=required,
        about=str(schema.get("description", "")),
        options=options,
        editable=len(text) <= LONGEST,
        hides=text != _lines(plain),
    )


def _kind(schema: Mapping[str, Any], value: Any, *, given: bool) -> tuple[Kind, tuple[str, ...]]:
    """How an argument is edited. One whose value is not of the schema's type, or of several, is JSON."""
    types = _types(schema)
    if options := schema.get("enum"):
        return "choice", tuple(json.dumps(one, ensure_ascii=False) for one in options)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if types & {"integer", "number"} and types <= {"integer", "number", "string", "null"} and (number or not given):
        return "number", ()
    if types - {"null"} == {"boolean"} and (isinstance(value, bool) or not given):
        return "choice", ("true", "false")
    if types <= {"string", "null"} and (isinstance(value, str) or not given):
        return "text", ()
    return "json", ()


def _types(schema: Mapping[str, Any]) -> set[str]:
    several = [one for one in schema.get("anyOf", ()) if isinstance(one, dict)]
    return {one["type"] for one in (schema, *several) if isinstance(one.get("type"), str)}


def _as_text(value: Any, kind: Kind) -> str:
    if kind == "text":
        return str(value)
    return json.dumps(value, ensure_ascii=False) if kind in ("number", "choice") else as_json(value)
