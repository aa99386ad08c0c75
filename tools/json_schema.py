"""Arguments described by a JSON schema that somebody else wrote: references written out, and calls checked by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Never

from tools.arguments import Misfit, as_json, keys_of

MAX_CHARS = 64_000
MAX_NODES = 10_000
"""Values of a schema with its references written out: each may be tried for each value of a call."""
MAX_DEPTH = 40
MOST_TOLD = 5
"""Faults of one call that are told."""

_SAYS = frozenset({"title", "description", "default", "examples", "deprecated"})
_ELSEWHERE = ("$id", "$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor")


class Untakable(ValueError):
    """Why a schema is not taken."""


class JsonArguments:
    """Satisfies `tools.arguments.Arguments`."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """`schema` as `written_out` gives it.

        Raises:
            Untakable: it is no schema.
        """
        import jsonschema_rs  # noqa: PLC0415 - comes with the extra mcp: only for tools that need it

        try:
            # Its regular expressions give up after a bounded number of steps, and it fetches nothing.
            self._validator = jsonschema_rs.validator_for(dict(schema), retriever=_nothing)
        except ValueError as error:
            raise Untakable(f"its schema does not hold: {str(error).splitlines()[0]:.200}") from None
        self._properties: Mapping[str, Any] = schema["properties"]
        self.names = tuple(self._properties)
        listed = {name: one["enum"] for name, one in self._properties.items() if isinstance(one.get("enum"), list)}
        self.choices: Mapping[str, tuple[str, ...]] = {
            name: tuple(one for one in texts if isinstance(one, str)) for name, texts in listed.items()
        }
        self.defaults = {name: one["default"] for name, one in self._properties.items() if "default" in one}
        self.keys = keys_of(dict(schema))

    def fitted(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `tools.arguments.Arguments.fitted`."""
        made = as_json({name: _number(value, self._properties.get(name)) for name, value in given.items()})
        faults: list[tuple[tuple[int | str, ...], str]] = []
        for error in self._validator.iter_errors(made):
            faults.append((tuple(error.instance_path), f"{error.message:.300}"))
            if len(faults) == MOST_TOLD:
                break
        if faults:
            raise Misfit(faults)
        return made


def _nothing(uri: str) -> Never:
    raise ValueError(f"nothing is fetched: {uri:.100}")


def _number(value: Any, schema: Any) -> Any:
    """Models, and people in a form, write a number as text."""
    wanted = schema.get("type") if isinstance(schema, dict) else None
    if not isinstance(value, str) or wanted not in ("integer", "number"):
        return value
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, (int, float)) and not isinstance(read, bool) else value


def written_out(schema: Any) -> dict[str, Any]:
    """The schema of an object, with what `$ref` names in its place.

    Raises:
        Untakable: it is of another kind, too large, refers to itself or out of itself.
    """
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise Untakable("its schema describes no object")
    if not isinstance(schema.get("properties", {}), dict):
        raise Untakable("its schema lists no properties")
    if len(json.dumps(schema)) > MAX_CHARS:
        raise Untakable(f"its schema is over {MAX_CHARS} characters")
    made = _Writing(schema).out({key: one for key, one in schema.items() if key not in ("$defs", "definitions")})
    properties = {name: _as_dict(one) for name, one in made.get("properties", {}).items()}
    return {**made, "type": "object", "properties": properties}


def _as_dict(schema: Any) -> dict[str, Any]:
    if isinstance(schema, dict):
        return schema
    return {} if schema is True else {"not": {}}


class _Writing:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root, self._left = root, MAX_NODES

    def out(self, node: Any, within: tuple[str, ...] = (), depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise Untakable(f"written out its schema is over {MAX_NODES} values, or {MAX_DEPTH} levels deep")
        if isinstance(node, list):
            return [self.out(one, within, depth + 1) for one in node]
        if not isinstance(node, dict):
            return node
        if elsewhere := [key for key in _ELSEWHERE if isinstance(node.get(key), str)]:
            raise Untakable(f"its schema uses {elsewhere[0]}")
        rest = {key: self.out(one, within, depth + 1) for key, one in node.items() if key != "$ref"}
        reference = node.get("$ref")
        if reference is None:
            return rest
        if not isinstance(reference, str):  # a property of that name
            return {**rest, "$ref": self.out(reference, within, depth + 1)}
        if reference in within:
            raise Untakable(f"its schema refers to itself: {reference:.80}")
        target = self.out(self._named(reference), (*within, reference), depth + 1)
        if isinstance(target, dict) and not set(rest) - _SAYS:
            return {**target, **rest}
        return {**rest, "allOf": [*rest.get("allOf", []), target]}

    def _named(self, reference: str) -> Any:
        """What a JSON pointer (RFC 6901) in a URI fragment names."""
        if not reference.startswith("#/"):
            raise Untakable(f"its schema refers out of itself: {reference:.80}")
        found: Any = self._root
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise Untakable(f"its schema refers to nothing: {reference:.80}")
            found = found[key]
        return found
