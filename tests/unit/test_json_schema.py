"""Schemas that MCP servers write: references written out within bounds, and arguments checked by them."""

from __future__ import annotations

from typing import Any

import pytest

from tools.arguments import Misfit
from tools.json_schema import JsonArguments, Untakable, written_out

pytest.importorskip("jsonschema_rs", reason="needs the extra mcp")


def test_references_stand_in_their_place_beside_what_is_said_of_them() -> None:
    made = written_out(
        {
            "properties": {
                "a": {"$ref": "#/$defs/x~1y", "description": "An x."},
                "b": {"$ref": "#/$defs/x~1y", "minLength": 2},
                "$ref": {"type": "string"},
                "any": True,
                "none": False,
                "many": {"type": "array", "items": {"$ref": "#/$defs/x~1y"}},
            },
            "$defs": {"x/y": {"type": "string"}},
        }
    )

    assert made == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "An x."},
            "b": {"minLength": 2, "allOf": [{"type": "string"}]},
            "$ref": {"type": "string"},
            "any": {},
            "none": {"not": {}},
            "many": {"type": "array", "items": {"type": "string"}},
        },
    }


def _nested(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(levels):
        made = {"properties": {"a": made}}
    return made


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ([], "describes no object"),
        ({"type": "string"}, "describes no object"),
        ({"properties": []}, "lists no properties"),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, "refers to itself: #/properties/a"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "refers out of itself: other.json"),
        ({"properties": {"a": {"$ref": "#/$defs/a"}}}, "refers to nothing: #/$defs/a"),
        ({"properties": {"a": {"$id": "http://x"}}}, "uses $id"),
        ({"properties": {"a": {"description": "x" * 70_000}}}, "is over 64000 characters"),
        ({"properties": {"a": {"enum": [1] * 11_000}}}, "is over 10000 values"),
        (_nested(50), "40 levels deep"),
    ],
)
def test_a_schema_that_is_too_large_or_leads_elsewhere_is_not_taken(schema: Any, told: str) -> None:
    with pytest.raises(Untakable, match="its schema") as refused:
        written_out(schema)

    assert told in str(refused.value)


@pytest.mark.parametrize(
    "properties", [{"a": {"type": "wat"}}, {"a": {"pattern": "("}}, {"a": {"$schema": "http://127.0.0.1:9/"}}]
)
def test_what_is_no_schema_is_not_taken(properties: dict[str, Any]) -> None:
    root = {"type": "object", "properties": properties, **properties.get("a", {})}
    with pytest.raises(Untakable, match="its schema does not hold"):
        JsonArguments(root)


def test_each_fault_is_told_at_its_place_and_few_of_them() -> None:
    taken = JsonArguments({"properties": {"a": {"type": "array", "items": {"type": "integer"}}}})

    with pytest.raises(Misfit, match=r'^a\.1: "x" is not of type "integer"$'):
        taken.fitted({"a": [1, "x"]})
    with pytest.raises(Misfit) as many:
        taken.fitted({"a": ["x"] * 100})
    assert len(many.value.told) == 5


def test_a_pattern_that_would_take_for_ever_does_not() -> None:
    taken = JsonArguments({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})

    with pytest.raises(Misfit):
        taken.fitted({"a": "a" * 5_000 + "!"})


@pytest.mark.parametrize(
    ("given", "read"), [("7", 7), ("1.5", 1.5), ("true", "true"), ("x", "x"), (7, 7), ("NaN", "NaN")]
)
def test_a_number_written_as_text_is_one_where_a_number_is_wanted(given: Any, read: Any) -> None:
    taken = JsonArguments({"properties": {"a": {"type": "number"}, "b": {"type": "string"}}})

    if isinstance(read, str):
        with pytest.raises((Misfit, ValueError)):
            taken.fitted({"a": given})
    else:
        assert taken.fitted({"a": given, "b": "7"}) == {"a": read, "b": "7"}
