"""A call's arguments as JSON."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Any, Literal, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

MAX_DEPTH = 50
"""Deepest nesting of arguments. Far beyond it hashing and storing them would fail half-way."""


class Misfit(Exception):
    """Arguments that do not fit: `told` has the place and the fault of each, the first ones first."""

    def __init__(self, told: Sequence[tuple[tuple[int | str, ...], str]]) -> None:
        self.told = told
        super().__init__("; ".join(f"{'.'.join(map(str, where))}: {why}" if where else why for where, why in told))


class Arguments(Protocol):
    """What a tool takes."""

    names: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]]
    """By name: all texts it can be, where the schema lists them."""
    defaults: Mapping[str, Any]
    """By name, as JSON: what one is when it is left out."""
    keys: frozenset[str]
    """Names that the schema gives, at any depth: of any other key within an argument the caller is the author."""

    def fitted(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, none of them unknown, validated and coerced, as JSON.

        Raises:
            Misfit: they do not fit.
            Exception: whatever a tool's own validator raises.
        """
        ...


class ModelArguments:
    """By a pydantic model."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model
        self.names = tuple(model.model_fields)
        listed = {name: tuple(_listed(told.annotation)) for name, told in model.model_fields.items()}
        self.choices: Mapping[str, tuple[str, ...]] = {name: texts for name, texts in listed.items() if texts}
        self.defaults: Mapping[str, Any] = dict(_defaults(model))
        self.keys = keys_of(model.model_json_schema())

    def fitted(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `Arguments.fitted`."""
        try:
            return plain(self.model.model_validate(dict(given)))
        except ValidationError as error:
            raise Misfit([(one["loc"], one["msg"]) for one in error.errors()]) from error


def _defaults(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, told in model.model_fields.items():
        if not told.is_required() and told.default_factory is None:
            try:
                yield from as_json({name: told.default}).items()
            except (TypeError, ValueError):  # no JSON: then it is as if there were none
                continue


def keys_of(schema: Any) -> frozenset[str]:
    """The names of all properties that a JSON schema describes."""
    inner = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    own: frozenset[str] = frozenset(properties if isinstance(properties, Mapping) else ())
    return own.union(*map(keys_of, inner))


def _listed(annotation: Any) -> Iterator[str]:
    """The texts of an enumeration; of one that may be left out, too."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (one.value for one in annotation if isinstance(one.value, str))
    elif get_origin(annotation) is Literal:
        yield from (one for one in get_args(annotation) if isinstance(one, str))
    elif get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _listed(one)


def plain(checked: BaseModel) -> dict[str, Any]:
    """Checked arguments as JSON: what is shown to people, stored and hashed is the same thing.

    Raises:
        TypeError, ValueError: JSON can't hold them, or they are nested too deep.
    """
    return as_json({name: getattr(checked, name) for name in type(checked).model_fields})


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same of arguments that need no model.

    Raises:
        TypeError, ValueError: see `plain`.
    """
    made: dict[str, Any] = json.loads(json.dumps(dict(values), default=_as_json, allow_nan=False))
    if _deeper(made, MAX_DEPTH):
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    return made


def _deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_deeper(one, levels - 1) for one in inner)


def _as_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return to_jsonable_python(value, fallback=str)


def canonical(value: Any) -> Any:
    """The same for all spellings of a value: unicode forms, 1 and 1.0."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        made = {unicodedata.normalize("NFC", str(key)): canonical(one) for key, one in value.items()}
        # Two names that only look the same stay two.
        return made if len(made) == len(value) else {str(key): canonical(one) for key, one in value.items()}
    if isinstance(value, list):
        return [canonical(one) for one in value]
    return value
