"""`make run TASK=...`: the task arrives as it was typed, and none of it runs as code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import ROOT

TASKS = [
    "search for travel policy",
    """cost "$5" `touch ran` $HOME it's $(shell touch ran) $(touch ran) \\ %s ; &""",
    "--help",
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("as_variable", [True, False])
def test_the_task_arrives_as_it_was_typed(tmp_path: Path, task: str, *, as_variable: bool) -> None:
    """`make run TASK=...` and `TASK=... make run`, with a `ballast` that prints its arguments."""
    echo = tmp_path / "ballast"
    echo.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    echo.chmod(0o755)
    command = ["make", "--no-print-directory", "--file", str(ROOT / "Makefile"), "--old-file", ".venv/ready", "run"]
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/ready").touch()

    done = subprocess.run(
        [*command, f"BIN={tmp_path}", *([f"TASK={task}"] if as_variable else [])],
        cwd=tmp_path,
        env=os.environ | ({} if as_variable else {"TASK": task}),
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout) == ["run", "--", task]
    assert not (tmp_path / "ran").exists()
