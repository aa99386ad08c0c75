"""A process that was stopped, lost its lock, and comes back after another has finished its thread."""

from __future__ import annotations

import json
import signal
from typing import Any

import psycopg
import pytest

from tests.acceptance.conftest import LIST, Ballast, Script, Start, one_line, wait_for

NEWER = """
UPDATE checkpoints SET metadata = jsonb_set(metadata, '{ballast_state}', '99') WHERE thread_id = 'newer'
"""


@pytest.mark.long
def test_a_process_that_comes_back_writes_nothing_more(
    ballast: Ballast, start: Start, script: Script, database_url: str
) -> None:
    model = script({"tool_calls": [LIST]}, {"tool_calls": [LIST], "delay_s": 3}, {"content": "done"})
    first = start("run", "go", "--thread", "t", "--model", model)
    wait_for(first, "act")
    first.send_signal(signal.SIGSTOP)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_locks WHERE locktype = 'advisory' AND pid IN "
            "(SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid())"
        )
        second = ballast("resume", "t", "--json")
        finished = ballast("history", "t", "--json").stdout
        rows = connection.execute("SELECT count(*) FROM checkpoint_writes").fetchone()

        first.send_signal(signal.SIGCONT)
        _, told = first.communicate(timeout=60)

        assert connection.execute("SELECT count(*) FROM checkpoint_writes").fetchone() == rows
    assert json.loads(second.stdout)["answer"] == "done"
    assert first.returncode == 2
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("ballast: another process has taken over thread t: it goes on there")
    assert ballast("history", "t", "--json").stdout == finished


@pytest.mark.parametrize(
    "command", [["resume", "newer"], ["history", "newer"], ["run", "go", "--thread", "newer"], ["effects", "newer"]]
)
def test_a_thread_of_a_newer_version_is_refused_by_name_and_the_others_go_on(
    ballast: Ballast, script: Script, database_url: str, command: list[str]
) -> None:
    model = script({"content": "done"})
    for thread in ("newer", "ours"):
        assert ballast("run", "go", "--thread", thread, "--model", model).returncode == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(NEWER)

    one_line(ballast(*command), 2, "thread newer has state version 99, this Ballast reads 1 to 3: update Ballast")

    listed: list[dict[str, Any]] = json.loads(ballast("threads", "--json").stdout)
    assert {row["thread_id"] for row in listed} == {"newer", "ours"}
    assert ballast("history", "ours").returncode == 0
