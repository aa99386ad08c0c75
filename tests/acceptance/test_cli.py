"""The command line as a user meets it: real processes, real Postgres, real signals."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.conftest import DELETE, LIST, MAIL, ORDER, Ballast, Script, Start, one_line, wait_for

SLOW = [{"tool_calls": [LIST]}, {"content": "Slept.", "delay_s": 30}]


def test_a_run_prints_the_contract_as_json_and_nothing_else(ballast: Ballast, script: Script) -> None:
    model = script({"tool_calls": [LIST], "usage": {"input_tokens": 100, "output_tokens": 5}}, {"content": "Done."})

    done = ballast("run", "go", "--thread", "t", "--model", model, "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(report) == {"thread_id", "outcome", "answer", "checkpoint_id", "usage", "totals", "approvals"}
    assert (report["thread_id"], report["outcome"], report["answer"]) == ("t", "completed", "Done.")
    assert report["approvals"] == []
    assert set(report["usage"]) == {
        "iterations", "model_calls", "tool_calls", "prompt_tokens", "completion_tokens", "cost_usd", "seconds",
    }  # fmt: skip
    assert (report["usage"]["iterations"], report["usage"]["tool_calls"]) == (2, 1)
    assert report["totals"] == {"runs": 1, **report["usage"]}


def test_an_order_waits_is_approved_and_done_without_any_flag(ballast: Ballast, script: Script) -> None:
    model = script({"tool_calls": [ORDER, MAIL, DELETE]}, {"content": "Done."})
    waiting = ballast("run", "go", "--thread", "t", "--model", model, "--json")
    rows = {row["tool"]: row for row in json.loads(waiting.stdout)["approvals"]}
    assert waiting.returncode == 3
    tiers = {"place_order": "high", "send_email": "medium", "delete_records": "critical"}
    assert {name: row["risk"] for name, row in rows.items()} == tiers
    assert rows["send_email"]["deadline"]
    assert rows["place_order"]["deadline"] is None

    one_line(ballast("approvals", "approve", rows["delete_records"]["id"]), 2, "done, reject")
    ballast("approvals", "approve", rows["place_order"]["id"], rows["send_email"]["id"])
    finished = ballast("approvals", "done", rows["delete_records"]["id"], "-m", "gone", "--resume", "--json")

    report = json.loads(finished.stdout)
    assert (finished.returncode, report["outcome"]) == (0, "completed")
    effects = json.loads(ballast("effects", "t", "--json").stdout)
    assert {(effect["tool"], effect["state"]) for effect in effects} == {
        ("place_order", "done"),
        ("send_email", "done"),
    }
    listed = json.loads(ballast("approvals", "list", "--thread", "t", "--json").stdout)
    assert {row["status"] for row in listed} == {"approved", "done"}
    assert all(row["decided_by"] and row["decided_at"] and row["decision"] for row in listed)


def test_history_and_replay(ballast: Ballast, script: Script, environment: dict[str, str]) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"tool_calls": [MAIL]}, {"content": "Done."}), "--json")
    [row] = json.loads(ballast("approvals", "list", "--json").stdout)
    ballast("approvals", "approve", row["id"], "--resume")

    rows = json.loads(ballast("history", "t", "--json").stdout)
    preview = json.loads(ballast("replay", "t", "--from", "act", "--dry-run", "--json").stdout)
    replayed = ballast("replay", "t", "--from", "act", "--json")

    assert [one["node"] for one in rows] == ["finish", "reason", "act", "approve", "reason", "__start__", "input"]
    assert rows[0]["parent_id"] == rows[1]["checkpoint_id"]
    assert preview["next"] == ["act"]
    assert [call["tool"] for call in preview["calls"]] == ["send_email"]
    assert [effect["tool"] for effect in preview["effects_reused"]] == ["send_email"]
    assert json.loads(replayed.stdout)["outcome"] == "completed"
    assert len(list((Path(environment["BALLAST_WORKSPACE"]) / "outbox/new").iterdir())) == 1
    after = {one["checkpoint_id"] for one in json.loads(ballast("history", "t", "--json").stdout)}
    assert {one["checkpoint_id"] for one in rows} < after


def test_a_killed_run_goes_on_from_its_last_step(ballast: Ballast, script: Script, start: Start) -> None:
    model = script({"tool_calls": [LIST]}, {"content": "Done.", "delay_s": 3})
    run = start("run", "go", "--thread", "t", "--model", model)
    wait_for(run, "act")
    run.send_signal(signal.SIGKILL)
    run.wait()

    done = ballast("resume", "t", "--json")

    report = json.loads(done.stdout)
    assert (report["outcome"], report["answer"], report["usage"]["tool_calls"]) == ("completed", "Done.", 1)


def test_a_run_killed_in_its_first_step_still_knows_its_flags(
    ballast: Ballast, script: Script, start: Start, environment: dict[str, str]
) -> None:
    model = script({"content": "Done.", "delay_s": 2})
    run = start("run", "go", "--thread", "t", "--model", model, "--max-iterations", "7")
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        _until_stored(connection, run)
    run.send_signal(signal.SIGKILL)
    run.wait()

    report = json.loads(ballast("resume", "t", "--json").stdout)

    assert (report["outcome"], report["answer"]) == ("completed", "Done.")


def _until_stored(connection: psycopg.Connection[Any], run: subprocess.Popen[str]) -> None:
    """Until the run has stored its input; it ends by itself when it never does."""
    while run.poll() is None:
        if connection.execute("SELECT to_regclass('approvals_shown') IS NOT NULL").fetchone() == (True,):
            row = connection.execute("SELECT count(*) FROM checkpoints").fetchone()
            if row and row[0]:
                return
    pytest.fail("the run ended before its input was stored")


def test_ctrl_c_ends_in_one_line_and_the_thread_can_be_resumed(script: Script, start: Start, ballast: Ballast) -> None:
    run = start("run", "go", "--thread", "t", "--model", script(*SLOW), "--json")
    wait_for(run, "act")
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=30)

    assert run.returncode == 4
    assert json.loads(out)["outcome"] == "cancelled"
    assert "Traceback" not in err
    script({"tool_calls": [LIST]}, {"content": "Awake."})
    assert json.loads(ballast("resume", "t", "--json").stdout)["answer"] == "Awake."


@pytest.mark.parametrize("again_after_s", [0.0, 0.02, 0.1])
def test_a_second_ctrl_c_does_not_change_the_exit_code(script: Script, start: Start, again_after_s: float) -> None:
    """It may come while the run is stopped, while its report is printed, or while the process ends."""
    run = start("run", "go", "--thread", "t", "--model", script(*SLOW))
    wait_for(run, "act")
    run.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(again_after_s)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)

    assert run.returncode == 4
    assert "Traceback" not in err


TO_BOB = {**MAIL, "args": {**MAIL["args"], "to": "bob@example.com"}}


def test_resume_takes_the_limits_run_takes(ballast: Ballast, script: Script) -> None:
    model = script(*[{"tool_calls": [LIST]}] * 5, {"tool_calls": [MAIL]}, {"tool_calls": [ORDER, TO_BOB]})
    ballast(
        "run",
        "Mail Hello to ann@example.com and bob@example.com, two mails, subject Hi.",
        "--thread",
        "t",
        "--model",
        model,
    )
    [mail] = json.loads(ballast("approvals", "list", "--json").stdout)
    ballast("approvals", "approve", mail["id"])

    before = datetime.now(UTC)
    done = ballast("resume", "t", "--keep-tool-results", "1", "--approval-seconds", "7000", "--json")

    [again] = [row for row in json.loads(done.stdout)["approvals"] if row["deadline"] and row["status"] == "pending"]
    assert 7000 <= (datetime.fromisoformat(again["deadline"]) - before).total_seconds() < 7060
    assert "10 messages folded" in done.stderr
    one_line(ballast("resume", "t", "--approval-seconds", "-1"), 2, "--approval-seconds")


def test_two_processes_do_not_run_one_thread(ballast: Ballast, script: Script, start: Start) -> None:
    run = start("run", "go", "--thread", "t", "--model", script(*SLOW))
    wait_for(run, "act")

    one_line(ballast("resume", "t"), 2, "thread t is being run by another process")


def test_limits_end_with_exit_code_4(ballast: Ballast, script: Script) -> None:
    done = ballast("run", "go", "--model", script(*[{"tool_calls": [LIST]}] * 5), "--max-iterations", "2", "--json")

    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (4, "stopped_iterations")


def test_a_failed_model_ends_with_exit_code_1(ballast: Ballast, script: Script) -> None:
    done = ballast("run", "go", "--model", script({"error": "server_error"}), "--json")

    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (1, "model_failed")


def test_without_a_command_the_commands_are_shown(ballast: Ballast) -> None:
    done = ballast()

    assert done.returncode == 0
    assert "approvals" in done.stdout


def test_tools_lists_every_tool_with_its_marks(ballast: Ballast) -> None:
    tools = {row["name"]: row for row in json.loads(ballast("tools", "--json").stdout)}

    assert set(tools["read_file"]) == {"name", "risk", "untrusted_output", "idempotent", "source"}
    tiers = {"search_documents": "low", "send_email": "medium", "pay_invoice": "high", "send_bulk_email": "critical"}
    assert {name: tools[name]["risk"] for name in tiers} == tiers


def test_doctor_and_threads_for_people(ballast: Ballast, script: Script) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"content": "x"}))

    assert "schema" in ballast("doctor").stdout
    ballast("run", "go", "--thread", "newer", "--model", script({"content": "x"}))
    assert [line.split("\t")[0] for line in ballast("threads").stdout.splitlines()] == ["newer", "t"]
    assert [row["thread_id"] for row in json.loads(ballast("threads", "--limit", "1", "--json").stdout)] == ["newer"]
