"""New approvals are told: real workers, a real `langgraph dev`, a real receiver, a real mail server, real SIGKILL."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from langgraph_sdk import get_client

from evals.chaos.postgres import own_postgres
from tests.acceptance.conftest import MAIL, ORDER, Ballast, Script, Server, Start, wait_for
from tests.integration.smtp_bench import Inbox, serving
from tests.webhook_receiver import BROKEN, HANGS, IN_ADDRESS, KEY, OK, SECRET, Receiver, receiving

GO: Any = {"messages": [{"role": "user", "content": "order lamps"}]}


def _jobs(environment: dict[str, str]) -> list[tuple[Any, ...]]:
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        return connection.execute("SELECT queue_name, status, attempts FROM procrastinate_jobs").fetchall()


def _make_due(environment: dict[str, str]) -> None:
    """As if the pause were over."""
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'")


def _hooked(environment: dict[str, str], receiver: Receiver) -> None:
    environment |= {"BALLAST_NOTIFY_WEBHOOK": receiver.url, "BALLAST_NOTIFY_SECRET": SECRET}


def _ask(ballast: Ballast, model: str, *flags: str, thread: str = "t") -> str:
    """The id of a new approval."""
    done = ballast("run", "order lamps", "--model", model, "--thread", thread, "--json", *flags)
    assert "s3cret" not in done.stdout + done.stderr
    return str(json.loads(done.stdout)["approvals"][0]["id"])


def _said_until(process: subprocess.Popen[str], words: str) -> str:
    """What it said up to and with these words."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if words in line:
            return said
    pytest.fail(f"never said {words!r}: {said}")


def test_nothing_is_put_in_for_anyone_by_default(ballast: Ballast, script: Script, environment: dict[str, str]) -> None:
    _ask(ballast, script({"tool_calls": [ORDER]}, {"content": "Done."}))

    assert _jobs(environment) == []


def test_a_worker_tells_again_after_trouble_and_no_secret_is_in_its_log(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    with receiving(BROKEN, OK) as receiver:
        _hooked(environment, receiver)
        approval = _ask(ballast, script({"tool_calls": [ORDER]}, {"content": "Done."}))
        worker = start("worker")
        said = _said_until(worker, f"approval {approval}: not told by webhook, again in")
        _make_due(environment)
        said += _said_until(worker, f"approval {approval}: told by webhook")

    first, second = receiver.wait_for(2)
    assert (first.id, second.id) == (approval, approval)
    assert first.verified() == second.verified()
    assert second.verified()["data"]["link"] == f"http://127.0.0.1:2024/inbox/{approval}"
    assert "HTTP 500" in said
    assert "Traceback" not in said
    assert not any(secret in said for secret in (IN_ADDRESS, SECRET, KEY.decode()))


@pytest.mark.long
def test_a_worker_killed_while_it_tells_is_made_good_by_another(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    with receiving(HANGS, OK) as receiver:
        _hooked(environment, receiver)
        approval = _ask(ballast, script({"tool_calls": [ORDER]}, {"content": "Done."}))
        first = start("worker")
        receiver.wait_for(1)

        first.kill()
        first.wait()
        assert _jobs(environment) == [("webhook", "doing", 0)]
        wait_for(start("worker"), f"approval {approval}: told by webhook")

    assert [post.id for post in receiver.posts] == [approval, approval]


@pytest.mark.long
def test_receivers_that_hang_delay_no_timer(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    with receiving(HANGS) as receiver:
        _hooked(environment, receiver)
        model = script({"tool_calls": [ORDER]}, {"content": "Done."})
        for number in range(6):
            _ask(ballast, model, thread=f"waits{number}")
        worker = start("worker", "--concurrency", "2")
        receiver.wait_for(2)  # two are waited for, as many as are at once, and four more wait for their turn

        _ask(ballast, script({"tool_calls": [MAIL]}, {"content": "Sent."}), "--approval-seconds", "1")
        wait_for(worker, "thread t: completed")
    [row] = json.loads(ballast("approvals", "list", "--thread", "t", "--json").stdout)
    late = datetime.fromisoformat(row["decided_at"]) - datetime.fromisoformat(row["deadline"])
    assert (row["decided_by"], row["status"]) == ("timer", "approved")
    assert timedelta(0) <= late < timedelta(seconds=5)


@pytest.mark.long
def test_a_worker_that_is_told_of_no_receiver_leaves_it_to_one_that_is(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    with receiving(OK) as receiver:
        model = script({"tool_calls": [ORDER]}, {"content": "Done."})
        hook = {"BALLAST_NOTIFY_WEBHOOK": receiver.url, "BALLAST_NOTIFY_SECRET": SECRET}
        ballast("run", "order lamps", "--model", model, "--thread", "t", **hook)
        plain = start("worker")
        wait_for(plain, "waiting for deadlines")
        _ask(ballast, script({"tool_calls": [MAIL]}, {"content": "Sent."}), "--approval-seconds", "1", thread="u")
        wait_for(plain, "thread u: completed")
        assert ("webhook", "todo", 0) in _jobs(environment)

        environment |= hook
        wait_for(start("worker"), "told by webhook")


def test_a_worker_goes_on_with_all_its_queues_after_a_restart_of_postgres(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    with own_postgres() as postgres, receiving(OK) as receiver:
        environment["DATABASE_URL"] = postgres.url
        _hooked(environment, receiver)
        worker = start("worker")
        wait_for(worker, "waiting for deadlines")
        order = script({"tool_calls": [ORDER]}, {"content": "Ordered."})
        wait_for(worker, f"approval {_ask(ballast, order, thread='before')}: told by webhook")

        postgres.restart()

        wait_for(worker, f"approval {_ask(ballast, order, thread='after')}: told by webhook")
        mail = script({"tool_calls": [MAIL]}, {"content": "Sent."})
        _ask(ballast, mail, "--approval-seconds", "1", thread="timer")
        wait_for(worker, "thread timer: completed")
        worker.kill()  # before its database is gone


async def test_a_worker_mails_every_address(
    ballast: Ballast, start: Start, script: Script, environment: dict[str, str]
) -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        environment |= {
            "SMTP_URL": f"smtp://127.0.0.1:{port}",
            "BALLAST_NOTIFY_MAIL": "ann@example.com,bob@example.com",
        }
        approval = _ask(ballast, script({"tool_calls": [ORDER]}, {"content": "Done."}))
        worker = start("worker")
        for _ in range(2):
            await asyncio.to_thread(wait_for, worker, f"approval {approval}: told by mail")

    assert sorted(one.rcpt_tos for one in inbox.taken) == [["ann@example.com"], ["bob@example.com"]]
    [mail, again] = inbox.mails
    assert mail["Message-ID"] == again["Message-ID"] == f"<{approval}@ballast>"
    assert f"/inbox/{approval}" in mail.get_content()


async def test_the_server_tells_too_and_its_log_keeps_the_secrets(database_url: str, tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(yaml.safe_dump({"turns": [{"tool_calls": [ORDER]}, {"content": "Ordered."}]}))
    with receiving(BROKEN, OK) as receiver:
        hook = {"BALLAST_NOTIFY_WEBHOOK": receiver.url, "BALLAST_NOTIFY_SECRET": SECRET, "LOG_LEVEL": "DEBUG"}
        server = Server(folder=tmp_path, database_url=database_url, environment=hook)
        server.start()
        try:
            async with get_client(url=server.url) as client:
                thread = (await client.threads.create())["thread_id"]
                await client.runs.wait(thread, "react", input=GO, context={"model": f"scripted:{script}"})
            await asyncio.to_thread(receiver.wait_for, 1)
            _wait_for_job(database_url)
            _make_due({"DATABASE_URL": database_url})
            await asyncio.to_thread(receiver.wait_for, 2)
        finally:
            server.kill()

    said = receiver.posts[-1].verified()
    assert (said["type"], said["data"]["thread_id"]) == ("approval.requested", thread)
    log = (tmp_path / "server.log").read_text()
    assert "not told by webhook, again in" in log
    assert not any(secret in log for secret in (IN_ADDRESS, SECRET, KEY.decode()))
    assert "Traceback" not in log


def _wait_for_job(database_url: str) -> None:
    """Until the failed try's successor is in the queue."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(2_000):
            [(count,)] = connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE args ? 'tried'").fetchall()
            if count:
                return
    pytest.fail("it was not tried again")
