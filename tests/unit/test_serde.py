from __future__ import annotations

import dataclasses
import pickle
import sys
from datetime import UTC, datetime
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import SecretStr

from checkpoints.serde import serializer
from graph.errors import BadSetting, CheckpointUnreadable

KEY = SecretStr("0123456789abcdef")


@dataclasses.dataclass
class Foreign:
    command: str


def test_messages_and_plain_values_come_back_as_they_were() -> None:
    value: dict[str, Any] = {
        "messages": [
            HumanMessage("hi", id="1"),
            AIMessage("", id="2", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c"}]),
            ToolMessage("ok", tool_call_id="c", id="3"),
            RemoveMessage(id="1"),
        ],
        "when": datetime(2026, 1, 1, tzinfo=UTC),
    }
    serde = serializer(None)

    assert serde.loads_typed(serde.dumps_typed(value)) == value


@pytest.mark.filterwarnings("ignore")  # the library warns of what it refuses
def test_a_class_that_is_not_allow_listed_is_not_revived() -> None:
    permissive = JsonPlusSerializer(allowed_msgpack_modules=True)
    stored = permissive.dumps_typed(Foreign("rm"))
    assert isinstance(permissive.loads_typed(stored), Foreign)

    assert not isinstance(serializer(None).loads_typed(stored), Foreign)


def test_pickles_are_refused() -> None:
    with pytest.raises(NotImplementedError):
        serializer(None).loads_typed(("pickle", pickle.dumps({"a": 1})))


def test_unknown_extension_bytes_are_not_executed() -> None:
    blob = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(["os", "system", "true"])))

    assert serializer(None).loads_typed(("msgpack", blob)) != 0


def test_an_encrypted_value_hides_its_text_and_comes_back() -> None:
    serde = serializer(KEY)
    kind, stored = serde.dumps_typed([HumanMessage("the secret plan", id="1")])

    assert b"secret" not in stored
    assert serde.loads_typed((kind, stored))[0].content == "the secret plan"


@pytest.mark.parametrize("other", [None, SecretStr("fedcba9876543210")])
def test_an_encrypted_value_under_another_key_is_one_clear_error(other: SecretStr | None) -> None:
    stored = serializer(KEY).dumps_typed(["x"])

    with pytest.raises(CheckpointUnreadable, match="BALLAST_ENCRYPTION_KEY"):
        serializer(other).loads_typed(stored)


def test_a_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(BadSetting, match="16, 24 or 32 bytes"):
        serializer(SecretStr("short"))


def test_a_key_without_the_package_that_encrypts_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "Crypto"] + ["Crypto"]:
        monkeypatch.setitem(sys.modules, name, None)  # as where it is not installed

    with pytest.raises(BadSetting, match=r"pip install 'ballast\[encryption\]'"):
        serializer(KEY)
