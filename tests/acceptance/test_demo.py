"""`make demo`, as it is typed: once piped, and once on a terminal until it kills itself."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.conftest import ROOT, Ballast

pytestmark = pytest.mark.long

DEMO = [sys.executable, "-m", "app.demo"]


@pytest.fixture
def demo_environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if name != "BALLAST_WORKSPACE"}
    return kept | {"BALLAST_HOME": str(tmp_path / "home")}


def test_the_demo_kills_itself_goes_on_in_another_process_and_ends_with_its_effects(
    demo_environment: dict[str, str], ballast: Ballast
) -> None:
    done = subprocess.run(DEMO, cwd=ROOT, env=demo_environment, capture_output=True, text=True, check=False)

    told = done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b[" not in told
    story = [
        "reason  search_documents", "act  read_mail", "sanitize  4 results", "waiting  ap-", "high: spends money",
        "critical: deletes records", "killed  SIGKILL", "approvals list", "approvals approve", "ballast resume",
        "act  place_order: ok", "act  send_email: ok", "not done. A person rejected this call",
        "outcome    │ completed", "tool calls │ 9", "effects    │", "Try next:",
    ]  # fmt: skip
    missing = [words for words in story if words not in told]
    assert not missing, told
    places = [told.find(words) for words in story]
    assert places == sorted(places), told
    # The two run side by side: either may begin first.
    [effects] = re.findall(r"effects    │ (.+?) *│", told)
    assert sorted(effects.split(", ")) == ["place_order done", "send_email done"]
    with psycopg.connect(demo_environment["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT item, quantity FROM orders").fetchall() == [("Standing desk", 4)]
    for command in re.findall(r"^  \.venv/bin/ballast (.+)$", told, re.MULTILINE):
        assert ballast(*command.split()).returncode == 0
    _goes_on_where_it_worked(demo_environment, told)


def _goes_on_where_it_worked(environment: dict[str, str], told: str) -> None:
    """The thread's own copy of the office outlives the demo, with the mail it sent."""
    [thread] = set(re.findall(r"demo-[0-9a-f]{6}", told))
    more = [sys.executable, "-m", "app.cli", "run", "list files", "--thread", thread, "--json"]
    listed = subprocess.run(more, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert json.loads(listed.stdout)["outcome"] == "completed", listed.stderr
    assert "docs/catalogue.csv" in json.loads(listed.stdout)["answer"]
    assert len(list((Path(environment["BALLAST_HOME"]) / "demo" / thread / "office/outbox/new").iterdir())) == 1


def test_on_a_terminal_it_is_coloured(demo_environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        DEMO, cwd=ROOT, env=demo_environment | {"TERM": "xterm"}, stdout=theirs, stderr=theirs
    ) as run:
        os.close(theirs)
        shown = _until(ours, b"\x1b[1;31m          killed")
        run.kill()  # the rest is as the test above has it
        os.close(ours)

    assert b"\x1b[36m          reason" in shown


def _until(terminal: int, words: bytes) -> bytes:
    """All that was written up to there; a terminal whose other side is closed raises."""
    shown = b""
    while words not in shown:
        shown += os.read(terminal, 65_536)
    return shown
