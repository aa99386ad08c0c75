"""SIGKILL between a call over real HTTP and its record, in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.forks import Forks

PROGRAM = Path(__file__).with_name("paying.py")


class Bank(ThreadingHTTPServer):
    """Payments by idempotency key, and every key it was asked to pay under."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Teller)
        self.asked: list[str] = []
        self.paid: dict[str, Any] = {}


class Teller(BaseHTTPRequestHandler):
    server: Bank

    def do_POST(self) -> None:
        key = self.headers["Idempotency-Key"]
        self.server.asked.append(key)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.paid.setdefault(key, body["amount"])
        self._say(200, f"paid {self.server.paid[key]}")

    def do_GET(self) -> None:
        paid = self.server.paid.get(self.path.strip("/"))
        self._say(404 if paid is None else 200, f"paid {paid}, says the bank")

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def bank() -> Iterator[Bank]:
    with Bank() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Payer:
    def __init__(self, forks: Forks, url: str, bank: Bank, folder: Path) -> None:
        self.forks, self.url, self.bank, self.script = forks, url, bank, folder / "script.yaml"
        self.will_pay(5)

    def will_pay(self, amount: int) -> None:
        turns = [{"tool_calls": [{"name": "pay", "args": {"amount": amount}}]}, {"content": "Done."}]
        self.script.write_text(yaml.safe_dump({"turns": turns}))

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        service = f"http://127.0.0.1:{self.bank.server_address[1]}"
        return self.forks.run(str(PROGRAM), self.url, service, str(self.script), *words, env=os.environ)

    def ballast(self, *words: str) -> Any:
        program = str(Path(sys.executable).with_name("ballast"))
        done = self.forks.run(program, *words, "--json", env={"DATABASE_URL": self.url, "PATH": ""})
        done.check_returncode()
        return json.loads(done.stdout)


@pytest.fixture
def pay(forks: Forks, database_url: str, bank: Bank, tmp_path: Path) -> Payer:
    return Payer(forks, database_url, bank, tmp_path)


def test_what_was_paid_before_the_kill_is_found_by_key_and_not_paid_again(pay: Payer, bank: Bank) -> None:
    assert pay("start", "verify", "die").returncode == -9

    resumed = json.loads(pay("resume", "verify").stdout)

    [effect] = pay.ballast("effects", "t")
    assert resumed["outcome"] == "completed"
    assert (effect["state"], effect["attempts"], effect["result"]) == ("done", 1, "paid 5, says the bank")
    assert bank.asked == [effect["key"]]


def test_what_was_not_paid_before_the_kill_is_paid_once_under_the_same_key(pay: Payer, bank: Bank) -> None:
    pay.will_pay(-5)
    assert pay("start", "verify", "die").returncode == -9

    resumed = json.loads(pay("resume", "verify").stdout)

    [effect] = pay.ballast("effects", "t")
    assert resumed["outcome"] == "completed"
    assert (effect["state"], effect["attempts"], effect["result"]) == ("done", 2, "paid -5")
    assert bank.asked == [effect["key"]]


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "ended"),
    [("done", ("done", "done", 1)), ("retry", ("retried", "done", 2)), ("abandon", ("abandoned", "failed", 1))],
)
def test_without_a_check_a_person_is_asked_and_decides(
    pay: Payer, bank: Bank, kind: str, ended: tuple[str, str, int]
) -> None:
    assert pay("start", "blind", "die").returncode == -9
    waiting = json.loads(pay("resume", "blind").stdout)
    [row] = pay.ballast("approvals", "list", "--pending")
    [doubt] = pay.ballast("effects", "t")
    assert (waiting["outcome"], row["effect_key"], doubt["state"]) == ("awaiting_approval", doubt["key"], "unknown")

    decided = pay.ballast("approvals", kind, row["id"])
    resumed = json.loads(pay("resume", "blind").stdout)

    [effect] = pay.ballast("effects", "t")
    assert resumed["outcome"] == "completed"
    assert (decided["status"], effect["state"], len(bank.asked)) == ended
    assert set(bank.asked) == {effect["key"]}


@pytest.mark.long
def test_a_killed_retry_is_asked_about_again(pay: Payer, bank: Bank) -> None:
    pay("start", "blind", "die")
    pay("resume", "blind")
    [row] = pay.ballast("approvals", "list", "--pending")
    pay.ballast("approvals", "retry", row["id"])
    assert pay("resume", "blind", "die").returncode == -9

    assert json.loads(pay("resume", "blind").stdout)["outcome"] == "awaiting_approval"

    [again] = pay.ballast("approvals", "list", "--pending")
    assert (again["effect_key"], again["id"] == row["id"]) == (row["effect_key"], False)
    assert len(bank.asked) == 2
