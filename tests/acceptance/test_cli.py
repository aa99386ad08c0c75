"""The command line as a user meets it: real processes, real Postgres, real signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ORDER = {"name": "place_order", "args": {"item": "Desk lamp", "quantity": 2, "unit_price": 38.25}}
MAIL = {"name": "send_email", "args": {"to": "ann@example.com", "subject": "Hi", "body": "Hello"}}
DELETE = {"name": "delete_records", "args": {"table": "suppliers", "ids": ["104"]}}
LIST = {"name": "list_files", "args": {}}

Ballast = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
Script = Callable[..., str]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    office = shutil.copytree(ROOT / "examples/office", tmp_path / "office", ignore=shutil.ignore_patterns("outbox"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI", "BALLAST", "LANGSMITH"))}
    return kept | {"DATABASE_URL": database_url, "BALLAST_WORKSPACE": str(office), "COLUMNS": "200"}


@pytest.fixture
def ballast(environment: dict[str, str]) -> Ballast:
    def run(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", *args],
            env=environment | variables,
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Starts a command and does not wait for it; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "app.cli", *args]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment, text=True, stdout=pipe, stderr=pipe))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def script(tmp_path: Path) -> Script:
    def write(*turns: dict[str, Any], **lists: Any) -> str:
        path = tmp_path / "script.yaml"
        path.write_text(yaml.safe_dump({"turns": list(turns), **lists}))
        return f"scripted:{path}"

    return write


def _one_line(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """The whole contract of a failure: one line on stderr that says these things, and the exit code."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ballast: ")]
    assert len(lines) == 1, done.stderr
    assert done.returncode == code, done.stderr
    for words in said:
        assert words in lines[0]


def test_a_run_prints_the_contract_as_json_and_nothing_else(ballast: Ballast, script: Script) -> None:
    model = script({"tool_calls": [LIST], "usage": {"input_tokens": 100, "output_tokens": 5}}, {"content": "Done."})

    done = ballast("run", "go", "--thread", "t", "--model", model, "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(report) == {"thread_id", "outcome", "answer", "checkpoint_id", "usage", "approvals"}
    assert (report["thread_id"], report["outcome"], report["answer"]) == ("t", "completed", "Done.")
    assert report["approvals"] == []
    assert set(report["usage"]) == {
        "iterations", "model_calls", "tool_calls", "prompt_tokens", "completion_tokens", "cost_usd", "seconds",
    }  # fmt: skip
    assert (report["usage"]["iterations"], report["usage"]["tool_calls"]) == (2, 1)


def test_an_order_waits_is_approved_and_done_without_any_flag(ballast: Ballast, script: Script) -> None:
    model = script({"tool_calls": [ORDER, MAIL, DELETE]}, {"content": "Done."})
    waiting = ballast("run", "go", "--thread", "t", "--model", model, "--json")
    rows = {row["tool"]: row for row in json.loads(waiting.stdout)["approvals"]}
    assert waiting.returncode == 3
    tiers = {"place_order": "high", "send_email": "medium", "delete_records": "critical"}
    assert {name: row["risk"] for name, row in rows.items()} == tiers
    assert rows["send_email"]["deadline"]
    assert rows["place_order"]["deadline"] is None

    _one_line(ballast("approvals", "approve", rows["delete_records"]["id"]), 2, "done, reject")
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


def _wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"never said {words!r}")


SLOW = [{"tool_calls": [LIST]}, {"content": "Slept.", "delay_s": 30}]


def test_a_killed_run_goes_on_from_its_last_step(ballast: Ballast, script: Script, start: Start) -> None:
    model = script({"tool_calls": [LIST]}, {"content": "Done.", "delay_s": 3})
    run = start("run", "go", "--thread", "t", "--model", model)
    _wait_for(run, "act")
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
    _wait_for(run, "act")
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=30)

    assert run.returncode == 4
    assert json.loads(out)["outcome"] == "cancelled"
    assert "Traceback" not in err
    script({"tool_calls": [LIST]}, {"content": "Awake."})
    assert json.loads(ballast("resume", "t", "--json").stdout)["answer"] == "Awake."


def test_two_processes_do_not_run_one_thread(ballast: Ballast, script: Script, start: Start) -> None:
    run = start("run", "go", "--thread", "t", "--model", script(*SLOW))
    _wait_for(run, "act")

    _one_line(ballast("resume", "t"), 2, "thread t is being run by another process")


def test_limits_end_with_exit_code_4(ballast: Ballast, script: Script) -> None:
    done = ballast("run", "go", "--model", script(*[{"tool_calls": [LIST]}] * 5), "--max-iterations", "2", "--json")

    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (4, "stopped_iterations")


def test_a_failed_model_ends_with_exit_code_1(ballast: Ballast, script: Script) -> None:
    done = ballast("run", "go", "--model", script({"error": "server_error"}), "--json")

    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (1, "model_failed")


def test_a_decision_that_comes_too_late_says_what_by_whom_when(ballast: Ballast, script: Script) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"tool_calls": [ORDER]}, {"content": "Done."}))
    [row] = json.loads(ballast("approvals", "list", "--json").stdout)
    ballast("approvals", "reject", row["id"], "-m", "no")

    _one_line(ballast("approvals", "approve", row["id"]), 2, "already decided: rejected by", "at 20")


def test_of_several_decisions_none_is_taken_when_one_can_not_be(ballast: Ballast, script: Script) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"tool_calls": [ORDER, MAIL]}, {"content": "Done."}))
    ids = [row["id"] for row in json.loads(ballast("approvals", "list", "--json").stdout)]

    _one_line(ballast("approvals", "approve", *ids, "ap-0"), 2, "no approval 'ap-0'")

    assert {row["status"] for row in json.loads(ballast("approvals", "list", "--json").stdout)} == {"pending"}


def test_without_a_command_the_commands_are_shown(ballast: Ballast) -> None:
    done = ballast()

    assert done.returncode == 0
    assert "approvals" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"quantity": "many"}', "quantity"),
        ('{"colour": "red"}', "takes no colour"),
        ("[1]", "JSON object"),
        ("{", "not JSON"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_and_nothing_is_lost(
    ballast: Ballast, script: Script, arguments: str, said: str
) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"tool_calls": [ORDER]}, {"content": "Done."}))
    [row] = json.loads(ballast("approvals", "list", "--json").stdout)

    _one_line(ballast("approvals", "edit", row["id"], "--args", arguments), 2, said)

    edited = ballast("approvals", "edit", row["id"], "--args", '{"quantity": "1"}', "--resume", "--json")
    assert json.loads(edited.stdout)["outcome"] == "completed"
    [effect] = json.loads(ballast("effects", "t", "--json").stdout)
    assert effect["args"]["quantity"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "  "], 2, "the task is empty"),
        (["run", "go", "--graph", "tree"], 2, "no graph 'tree'"),
        (["run", "go", "--max-iterations", "0"], 2, "--max-iterations"),
        (["run", "go", "--max-usd", "nan"], 2, "--max-usd"),
        (["run", "go", "--model", "gpt"], 2, "openai:NAME, scripted:FILE.yaml, offline"),
        (["run", "go", "--model", "openai:gpt-4o"], 2, "OPENAI_API_KEY"),
        (["run", "go", "--model", "offline,,offline"], 2, "empty member"),
        (["run", "go", "--model", "scripted:nowhere.yaml"], 2, "nowhere.yaml"),
        (["run", "go", "--workspace", "/no/such/folder"], 2, "/no/such/folder"),
        (["run"], 2, "Missing argument 'task'; see 'ballast --help'"),
        (["run", "go", "--max-usd", "much"], 2, "Invalid value for '--max-usd'"),
        (["run", "go", "--colour", "red"], 2, "No such option: --colour"),
        (["run", "go", "--thread", ""], 2, "'' is no thread id"),
        (["run", "go", "--thread", "x" * 300], 2, "1 to 255 printable characters"),
        (["run", "go", "--thread", "a\udcff"], 2, "'a\\udcff' is not UTF-8 text"),
        (["launch"], 2, "No such command 'launch'"),
        (["resume", "nobody"], 2, "no thread 'nobody'"),
        (["history", "nobody"], 2, "no thread 'nobody'"),
        (["effects", "nobody"], 2, "no thread 'nobody'"),
        (["replay", "nobody", "--from", "act"], 2, "no thread 'nobody'"),
        (["replay", "nobody"], 2, "either --from NODE or --checkpoint ID"),
        (["approvals", "approve", "ap-0"], 2, "no approval 'ap-0'"),
        (["approvals", "show", "ap-0"], 2, "no approval 'ap-0'"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(
    ballast: Ballast, arguments: list[str], code: int, said: str
) -> None:
    _one_line(ballast(*arguments), code, said)


def test_a_script_with_a_wrong_field_names_file_turn_and_field(ballast: Ballast, script: Script) -> None:
    _one_line(ballast("run", "go", "--model", script({"contents": "x"})), 2, "script.yaml", "turn 1", "contents")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x"}, "127.0.0.1:1/x"),
        ({"BALLAST_MAX_ITERATIONS": "-3"}, "BALLAST_MAX_ITERATIONS"),
        ({"BALLAST_ENCRYPTION_KEY": "short"}, "16, 24 or 32 bytes"),
        ({"BALLAST_MODEL": "nonsense"}, "nonsense"),
    ],
)
def test_a_bad_environment_is_one_line(ballast: Ballast, variables: dict[str, str], said: str) -> None:
    done = ballast("run", "go", **variables)

    _one_line(done, 2, said)
    assert "s3cret" not in done.stderr


def test_a_wrong_password_is_one_line(ballast: Ballast, database_url: str) -> None:
    """Over a socket the embedded server trusts everyone, so the role is what does not exist."""
    url = database_url.replace("user=postgres", "user=nobody")

    _one_line(ballast("run", "go", DATABASE_URL=url), 2, "no connection to Postgres", 'role "nobody" does not exist')


def test_a_newer_schema_is_refused_naming_both_versions(ballast: Ballast, database_url: str) -> None:
    ballast("doctor")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO ballast_schema (version) VALUES (999)")

    _one_line(ballast("run", "go"), 2, "version 999", "update Ballast")


def test_an_encrypted_thread_without_its_key_is_one_line(ballast: Ballast, script: Script) -> None:
    key = {"BALLAST_ENCRYPTION_KEY": "0123456789abcdef"}
    ballast("run", "go", "--thread", "t", "--model", script({"content": "x"}), **key)

    _one_line(ballast("history", "t"), 2, "BALLAST_ENCRYPTION_KEY")
    assert ballast("history", "t", **key).returncode == 0


def test_the_database_going_away_in_the_middle_is_one_line(
    script: Script, start: Start, environment: dict[str, str], ballast: Ballast
) -> None:
    model = script({"tool_calls": [LIST]}, {"content": "x", "delay_s": 2})
    run = start("run", "go", "--thread", "t", "--model", model)
    _wait_for(run, "act")
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("ALTER TABLE checkpoint_writes RENAME TO gone")
    _, err = run.communicate(timeout=60)
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("ALTER TABLE gone RENAME TO checkpoint_writes")

    assert run.returncode == 2
    assert "what is stored is safe: go on with 'ballast resume THREAD'" in err
    assert "Traceback" not in err
    assert json.loads(ballast("resume", "t", "--json").stdout)["outcome"] == "completed"


def test_tools_lists_every_tool_with_its_marks(ballast: Ballast) -> None:
    tools = {row["name"]: row for row in json.loads(ballast("tools", "--json").stdout)}

    assert set(tools["read_file"]) == {"name", "risk", "untrusted_output", "idempotent", "source"}
    tiers = {"search_documents": "low", "send_email": "medium", "pay_invoice": "high", "send_bulk_email": "critical"}
    assert {name: tools[name]["risk"] for name in tiers} == tiers


def test_doctor_and_threads_for_people(ballast: Ballast, script: Script) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"content": "x"}))

    assert "schema" in ballast("doctor").stdout
    assert ballast("threads").stdout.startswith("t\t")
