from __future__ import annotations

from typing import Any

import pytest

from checkpoints import versions
from graph.errors import StateVersionUnsupported
from graph.state import no_usage


def test_a_usage_without_todays_counts_gets_them_and_keeps_its_own() -> None:
    old = {"iterations": 3, "turns": 2}

    assert versions.upgraded({"usage": old, "answer": "x"}) == {"usage": {**no_usage(), **old}, "answer": "x"}
    assert old == {"iterations": 3, "turns": 2}


@pytest.mark.parametrize("values", [{}, {"answer": "x"}, {"usage": None}, {"usage": dict(no_usage())}])
def test_what_has_todays_shape_stays_as_it_is(values: dict[str, Any]) -> None:
    assert versions.upgraded(values) == values


def test_there_is_an_upgrade_from_every_version_to_the_next() -> None:
    assert list(versions.UPGRADES) == list(range(min(versions.UPGRADES), versions.STATE_VERSION))


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (4, "thread t has state version 4, this Ballast reads 1 to 3: update Ballast, or go on with it where"),
        ("x", "thread t has state version 'x', this Ballast reads 1 to 3: update Ballast"),
        (
            0,
            "thread t has state version 0, this Ballast reads 1 to 3: go on with it in an older Ballast",
        ),
    ],
)
def test_what_can_not_be_brought_up_is_refused_naming_both_versions(version: object, said: str) -> None:
    with pytest.raises(StateVersionUnsupported, match=said):
        versions.check(version, "t")


@pytest.mark.parametrize("version", [1, 2])
def test_every_version_with_an_upgrade_is_read(version: int) -> None:
    versions.check(version, "t")
