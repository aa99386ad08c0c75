from __future__ import annotations

import os

import pytest

from app.person import person


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 12345"), OSError("No username set")])
def test_a_user_id_without_a_name_decides_as_itself(error: Exception) -> None:
    """As in a pod whose `runAsUser` has no passwd entry. Python 3.13 raises OSError where older ones raise KeyError."""

    def nobody() -> str:
        raise error

    assert person(nobody) == f"uid:{os.getuid()}"


def test_a_name_is_used_where_there_is_one() -> None:
    assert person(lambda: "ann") == "ann"
