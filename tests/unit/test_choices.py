"""Which member of a closed set a person named, when they did not write it as the tool does."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from services.choices import named
from services.provenance import Source, Trusted
from tools.arguments import ModelArguments
from tools.json_schema import JsonArguments

CODES = ("r", "rw")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("share it with Ann with read permissions", "r"),
        ("give Ann READ permission.", "r"),
        ("give her read-write permission", "rw"),
        ("with read and write permissions", "rw"),
        ("with read/write permissions", "rw"),
    ],
)
def test_a_code_is_named_by_what_its_letters_stand_for_just_before_the_arguments_name(text: str, code: str) -> None:
    assert [one for one in CODES if named(one, "permission", CODES, text)] == [code]


@pytest.mark.parametrize(
    "text",
    [
        "share it with Ann",
        "read it, then share it with Ann",
        "share it with the right permissions, then read it and write to her",
        "with reckless permissions",
        "permissions: whatever you read there",
        "without read permissions",
        "do not give her any read permissions",
        "revoke Bob's read permissions",
        "read permissions for Ann, and read and write permissions for Bob",  # either could be swapped for the other
        "read permissions for Ann, and whatever permissions Bob has",
        "readwrite permissionless",
        "",
    ],
)
def test_what_is_not_named_once_and_clearly_is_no_choice(text: str) -> None:
    assert [one for one in CODES if named(one, "permission", CODES, text)] == []


def test_the_longest_code_that_is_spelled_out_is_the_one_that_is_named() -> None:
    codes = ("w", "r", "rw")
    asked = "give her read and write permissions"
    assert [one for one in codes if named(one, "permission", codes, asked)] == ["rw"]


@pytest.mark.parametrize("value", ["rw", "w", "R", "read", "", "r "])
def test_an_attacker_gets_no_other_member_and_nothing_outside_the_set(value: str) -> None:
    assert not named(value, "permission", CODES, "Share it with Ann with read permissions")


def test_only_texts_of_a_set_that_is_declared_are_choices() -> None:
    trusted = Trusted([Source(name="the request", text="Share it with Ann with read permissions")])

    assert trusted.choice("r", "permission", CODES) == "the request"
    assert trusted.choice("r", "permission", ()) is None
    assert trusted.choice(["r"], "permission", CODES) is None
    assert Trusted([]).choice("r", "permission", CODES) is None


class Permission(StrEnum):
    """Two codes."""

    READ = "r"
    WRITE = "rw"


class Share(BaseModel):
    """Arguments."""

    enum: Permission
    literal: Literal["r", "rw", 3]
    maybe: Literal["r"] | None = None
    free: str = ""
    number: int | None = None


def test_closed_sets_are_read_from_a_tools_own_schema() -> None:
    assert ModelArguments(Share).choices == {"enum": ("r", "rw"), "literal": ("r", "rw"), "maybe": ("r",)}


def test_closed_sets_are_read_from_a_servers_schema() -> None:
    properties: dict[str, Any] = {"mode": {"enum": ["r", "rw", None]}, "free": {"type": "string"}, "odd": {"enum": {}}}
    made = JsonArguments({"type": "object", "properties": {"mode": properties["mode"], "free": properties["free"]}})

    assert made.choices == {"mode": ("r", "rw")}
