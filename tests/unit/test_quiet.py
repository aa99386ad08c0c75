from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.quiet import turn


def test_who_is_alone_lets_nobody_in(tmp_path: Path) -> None:
    with turn(tmp_path, alone=True), (tmp_path / "room").open("w") as room, pytest.raises(BlockingIOError):
        fcntl.flock(room, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_others_share_the_room_and_keep_out_who_must_be_alone(tmp_path: Path) -> None:
    shared = turn(tmp_path, alone=False)
    with shared, turn(tmp_path, alone=False), (tmp_path / "room").open("w") as room, pytest.raises(BlockingIOError):
        fcntl.flock(room, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_room_that_was_left_is_free(tmp_path: Path) -> None:
    for alone in (True, False, True):
        with turn(tmp_path, alone=alone):
            pass
