"""Bad input: one line on stderr that says what to do, the right exit code, and nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.conftest import LIST, MAIL, ORDER, ROOT, Ballast, Script, Start, one_line, wait_for


def test_a_decision_that_comes_too_late_says_what_by_whom_when(ballast: Ballast, script: Script) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"tool_calls": [ORDER]}, {"content": "Done."}))
    [row] = json.loads(ballast("approvals", "list", "--json").stdout)
    ballast("approvals", "reject", row["id"], "-m", "no")

    one_line(ballast("approvals", "approve", row["id"]), 2, "already decided: rejected by", "at 20")


def test_of_several_decisions_none_is_taken_when_one_can_not_be(ballast: Ballast, script: Script) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"tool_calls": [ORDER, MAIL]}, {"content": "Done."}))
    ids = [row["id"] for row in json.loads(ballast("approvals", "list", "--json").stdout)]

    one_line(ballast("approvals", "approve", *ids, "ap-0"), 2, "no approval 'ap-0'")

    assert {row["status"] for row in json.loads(ballast("approvals", "list", "--json").stdout)} == {"pending"}


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

    one_line(ballast("approvals", "edit", row["id"], "--args", arguments), 2, said)

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
        (["approvals", "list", "--thread", "nobody"], 2, "no thread 'nobody'"),
        (["approvals", "list", "--thread", "nobody", "--pending", "--json"], 2, "no thread 'nobody'"),
        (["threads", "--limit", "0"], 2, "Invalid value for '--limit'"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(
    ballast: Ballast, arguments: list[str], code: int, said: str
) -> None:
    one_line(ballast(*arguments), code, said)


def test_a_known_thread_without_approvals_has_an_empty_list(ballast: Ballast, script: Script) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"content": "x"}))

    done = ballast("approvals", "list", "--thread", "t", "--json")

    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_an_id_given_twice_is_decided_once(ballast: Ballast, script: Script) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"tool_calls": [ORDER, MAIL]}, {"content": "Done."}))
    first, second = (row["id"] for row in json.loads(ballast("approvals", "list", "--json").stdout))

    done = ballast("approvals", "approve", second, first, second, "--json")

    assert done.returncode == 0, done.stderr
    assert [(row["id"], row["status"]) for row in json.loads(done.stdout)] == [
        (second, "approved"),
        (first, "approved"),
    ]


@pytest.mark.parametrize("node", ["__start__", "__end__"])
def test_a_replay_starts_at_a_node_the_hint_names(ballast: Ballast, script: Script, node: str) -> None:
    ballast("run", "go", "--thread", "t", "--model", script({"content": "x"}))

    one_line(ballast("replay", "t", "--from", node, "--dry-run"), 2, f"no node '{node}': the graph has reason, ")


@pytest.mark.parametrize(
    ("variables", "failed"),
    [
        ({"BALLAST_WORKSPACE": "/no/such/folder"}, "workspace"),
        ({"BALLAST_MODEL": "scripted:nowhere.yaml"}, "model chain"),
        ({"BALLAST_TOOL_LIMITS": "nope=1"}, "tool limits"),
    ],
)
def test_doctor_shows_every_check_and_ends_with_2_when_one_failed(
    ballast: Ballast, variables: dict[str, str], failed: str
) -> None:
    done = ballast("doctor", "--json", **variables)

    rows = {row["check"]: row["ok"] for row in json.loads(done.stdout)}
    assert done.returncode == 2
    assert [check for check, ok in rows.items() if not ok] == [failed]
    assert list(rows) == [
        *("database", "schema", "model chain", "tool limits", "rates", "policy", "trusted", "untrusted", "extractor"),
        *("guards", "mcp", "redis", "workspace", "notifications", "encryption", "sign-in", "issuer"),
    ]
    assert ballast("doctor").returncode == 0


def test_doctor_tells_limits_and_rates_that_hold(ballast: Ballast) -> None:
    limits = {"BALLAST_TOOL_LIMITS": "send_email=3", "BALLAST_RATES": "tool:send_email=1/60,openai:any=5/0.5"}

    done = ballast("doctor", "--json", **limits)

    told = {row["check"]: row["status"] for row in json.loads(done.stdout)}
    assert done.returncode == 0
    assert told["tool limits"] == "ok: send_email=3"
    assert told["rates"] == "ok: tool:send_email=1/60,openai:any=5/0.5"
    assert told["redis"].startswith("not set: ")


def test_doctor_tells_what_texts_from_outside_meet(ballast: Ballast, tmp_path: Path) -> None:
    guards = tmp_path / "guards.yaml"
    guards.write_text("input: [detector]\ncontent: ['redact:secrets', detector]\nopen_for_low: true\n")
    outside = {"BALLAST_UNTRUSTED": "marked,read_mail=raw", "BALLAST_EXTRACTOR_MODEL": "offline"}

    done = ballast(
        "doctor", "--json", BALLAST_GUARDS=str(guards), BALLAST_POLICY=str(ROOT / "examples/policy.yaml"), **outside
    )

    told = {row["check"]: row["status"] for row in json.loads(done.stdout)}
    assert (told["untrusted"], told["extractor"]) == ("ok: marked,read_mail=raw", "ok: offline")
    assert told["guards"].startswith(f"ok: {guards}: input detector; content redact:secrets, detector; when one fails ")
    assert told["guards"].endswith("passed over where only low is at stake")
    assert told["trusted"].startswith("ok: colleagues for send_email.to send_bulk_email.to, known suppliers for pay_")
    off = {row["check"]: row["status"] for row in json.loads(ballast("doctor", "--json").stdout)}
    assert off["untrusted"] == "ok: strict"
    assert all(off[check].startswith("not set: ") for check in ("guards", "trusted", "extractor"))


def test_doctor_tells_who_is_told_and_no_secret(ballast: Ballast) -> None:
    hook = {"BALLAST_NOTIFY_WEBHOOK": "https://h/s3cret", "BALLAST_NOTIFY_SECRET": "s3cret" * 4}
    mail = {"SMTP_URL": "smtp://u:s3cret@h", "BALLAST_NOTIFY_MAIL": "ann@example.com"}

    done = ballast("doctor", "--json", **hook, **mail)

    told = {row["check"]: row["status"] for row in json.loads(done.stdout)}
    assert told["notifications"] == "ok: the webhook and mail to ann@example.com, with links to http://127.0.0.1:2024"
    assert "s3cret" not in done.stdout + done.stderr
    off = {row["check"]: row["status"] for row in json.loads(ballast("doctor", "--json").stdout)}
    assert off["notifications"].startswith("off: ")


def test_a_script_with_a_wrong_field_names_file_turn_and_field(ballast: Ballast, script: Script) -> None:
    one_line(ballast("run", "go", "--model", script({"contents": "x"})), 2, "script.yaml", "turn 1", "contents")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x"}, "127.0.0.1:1/x"),
        ({"BALLAST_MAX_ITERATIONS": "-3"}, "BALLAST_MAX_ITERATIONS"),
        ({"BALLAST_ENCRYPTION_KEY": "short"}, "16, 24 or 32 bytes"),
        ({"BALLAST_MODEL": "nonsense"}, "nonsense"),
        ({"BALLAST_RATES": "gpt-4.1=500/60"}, "BALLAST_RATES: 'gpt-4.1' is no endpoint: write openai:NAME for a model"),
        ({"BALLAST_RATES": "tool:list_files=1/60,tool:nope=1/60"}, "BALLAST_RATES: there is no tool nope: see"),
        ({"BALLAST_REDIS_URL": "redis://u:se[s3cret@h"}, "BALLAST_REDIS_URL must be redis://USER:PASSWORD@"),
        ({"BALLAST_NOTIFY_WEBHOOK": "https://h/s3cret"}, "BALLAST_NOTIFY_WEBHOOK must be signed: set BALLAST_NOTIFY"),
        (
            {"BALLAST_NOTIFY_WEBHOOK": "http://h/s3cret", "BALLAST_NOTIFY_SECRET": "s3cret" * 4},
            "BALLAST_NOTIFY_WEBHOOK must be an https:// address",
        ),
        ({"BALLAST_NOTIFY_SECRET": "s3cret"}, "BALLAST_NOTIFY_SECRET must be whsec_ and 24 to 64 bytes"),
        ({"BALLAST_NOTIFY_MAIL": "ann@example.com"}, "BALLAST_NOTIFY_MAIL must be sent by a mail server: set SMTP_URL"),
    ],
)
def test_a_bad_environment_is_one_line(ballast: Ballast, variables: dict[str, str], said: str) -> None:
    done = ballast("run", "go", **variables)

    one_line(done, 2, said)
    assert "s3cret" not in done.stderr


def test_a_newer_schema_is_refused_naming_both_versions(ballast: Ballast, database_url: str) -> None:
    ballast("doctor")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO ballast_schema (version) VALUES (999)")

    one_line(ballast("run", "go"), 2, "version 999", "update Ballast")


def test_an_encrypted_thread_without_its_key_is_one_line(ballast: Ballast, script: Script) -> None:
    key = {"BALLAST_ENCRYPTION_KEY": "0123456789abcdef"}
    ballast("run", "go", "--thread", "t", "--model", script({"content": "x"}), **key)

    one_line(ballast("history", "t"), 2, "BALLAST_ENCRYPTION_KEY")
    assert ballast("history", "t", **key).returncode == 0


def test_the_database_going_away_in_the_middle_is_one_line(
    script: Script, start: Start, environment: dict[str, str], ballast: Ballast
) -> None:
    model = script({"tool_calls": [LIST]}, {"content": "x", "delay_s": 2})
    run = start("run", "go", "--thread", "t", "--model", model)
    wait_for(run, "act")
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("ALTER TABLE checkpoint_writes RENAME TO gone")
    _, err = run.communicate(timeout=60)
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("ALTER TABLE gone RENAME TO checkpoint_writes")

    assert run.returncode == 2
    assert "what is stored is safe: go on with 'ballast resume THREAD'" in err
    assert "Traceback" not in err
    assert json.loads(ballast("resume", "t", "--json").stdout)["outcome"] == "completed"
