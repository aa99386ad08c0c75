"""Medium-risk actions go out by themselves: real workers, a real `langgraph dev`, real SIGKILL."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from langgraph_sdk import get_client

from tests.acceptance.conftest import MAIL, ORDER, Ballast, Script, Server, Start, one_line, wait_for

GO: Any = {"messages": [{"role": "user", "content": "write to ann"}]}


def _make_due(database_url: str, *, ago: str = "0 s") -> None:
    """As if the time had passed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE approvals SET deadline = now() - %s::interval WHERE status = 'pending'", (ago,))
        connection.execute("UPDATE procrastinate_jobs SET scheduled_at = now() - %s::interval", (ago,))


def _mails(environment: dict[str, str]) -> list[Path]:
    return list((Path(environment["BALLAST_WORKSPACE"]) / "outbox/new").glob("*"))


def _completed(environment: dict[str, str]) -> int:
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM runs WHERE outcome = 'completed'").fetchall()
    return int(count)


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_a_worker_sends_a_mail_at_its_deadline_and_not_before(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    model = script({"tool_calls": [MAIL]}, {"content": "Sent."})
    ballast("run", "write to ann", "--model", model, "--thread", "t", "--approval-seconds", "2")
    worker = start("worker")

    wait_for(worker, "send_email approved at its deadline")

    wait_for(worker, "thread t: completed")
    [row] = _json(ballast("approvals", "list", "--json"))
    assert (row["status"], row["decided_by"]) == ("approved", "timer")
    assert row["decided_at"] >= row["deadline"]
    assert len(_mails(environment)) == 1


def test_a_cancelled_mail_is_not_sent_and_the_timer_is_told_nothing(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    model = script({"tool_calls": [MAIL]}, {"content": "Sent."})
    asked = _json(ballast("run", "write to ann", "--model", model, "--thread", "t", "--json"))
    ballast("approvals", "cancel", asked["approvals"][0]["id"])
    _make_due(environment["DATABASE_URL"])
    worker = start("worker")

    wait_for(worker, "thread t: cancelled")

    [row] = _json(ballast("approvals", "list", "--json"))
    assert row["status"] == "cancelled"
    assert _mails(environment) == []


@pytest.mark.parametrize(("ago", "ends", "sent"), [("1 hour", "approved", 1), ("2 days", "expired", 0)])
def test_after_an_outage_what_is_overdue_goes_out_or_expires_when_it_is_too_old(  # noqa: PLR0913, PLR0917 - fixtures
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str], ago: str, ends: str, sent: int
) -> None:
    model = script({"tool_calls": [MAIL]}, {"content": "Done."})
    ballast("run", "write to ann", "--model", model, "--thread", "t")
    _make_due(environment["DATABASE_URL"], ago=ago)

    wait_for(start("worker"), "thread t: completed")

    [row] = _json(ballast("approvals", "list", "--json"))
    assert (row["status"], row["decided_by"]) == (ends, "timer")
    assert len(_mails(environment)) == sent


def test_a_decision_made_elsewhere_is_gone_on_with(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    model = script({"tool_calls": [ORDER]}, {"content": "Ordered."})
    asked = _json(ballast("run", "order lamps", "--model", model, "--thread", "t", "--json"))
    worker = start("worker")
    wait_for(worker, "waiting for deadlines")

    ballast("approvals", "approve", asked["approvals"][0]["id"])

    wait_for(worker, "thread t: completed")
    assert [one["state"] for one in _json(ballast("effects", "t", "--json"))] == ["done"]


@pytest.mark.long
def test_a_worker_killed_in_the_middle_loses_nothing_and_sends_nothing_twice(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    threads = [f"t{number}" for number in range(12)]
    model = script({"tool_calls": [MAIL]}, {"content": "Sent."})
    for thread in threads:
        ballast("run", "write to ann", "--model", model, "--thread", thread)
    _make_due(environment["DATABASE_URL"])
    first = start("worker", "--concurrency", "4")
    wait_for(first, "completed")

    first.kill()
    second = start("worker")

    while _completed(environment) < len(threads):
        wait_for(second, "completed")
    assert len(_mails(environment)) == len(threads)
    assert all(len(_json(ballast("effects", one, "--json"))) == 1 for one in threads)


def test_a_worker_without_a_database_says_so(ballast: Ballast) -> None:
    one_line(ballast("worker", DATABASE_URL="postgresql://127.0.0.1:1/none"), 2, "no connection to Postgres")


async def test_the_server_sends_it_too_without_a_second_process(server: Server, tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(yaml.safe_dump({"turns": [{"tool_calls": [MAIL]}, {"content": "Sent."}]}))
    context: Any = {"model": f"scripted:{script}", "approval_seconds": 1}
    async with get_client(url=server.url) as client:
        thread = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread, "react", input=GO, context=context)
        asked: Any = await client.threads.get_state(thread)
        assert asked["next"] == ["approve"]

        [released] = await _second_run(client, thread)

        await client.runs.join(thread, released["run_id"])
        ended: Any = await client.threads.get(thread)
    assert (ended["status"], ended["values"]["outcome"]) == ("idle", "completed")
    with psycopg.connect(server.database_url) as connection:
        rows = connection.execute(
            "SELECT status, decided_by, decided_at >= deadline FROM approvals WHERE thread_id = %s", (thread,)
        ).fetchall()
        effects = connection.execute("SELECT state FROM effects WHERE thread_id = %s", (thread,)).fetchall()
    assert (rows, effects) == ([("approved", "timer", True)], [("done",)])


async def _second_run(client: Any, thread: str) -> list[Any]:
    """The run that the timer began, besides the one the client did."""
    for _ in range(2_000):
        if len(runs := await client.runs.list(thread)) > 1:
            return [runs[0]]
    pytest.fail("the server never went on")
