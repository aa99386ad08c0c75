"""LangSmith as a user of the command line and of the server meets it: its endpoint up, and down."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.acceptance.conftest import Server
from tests.langsmith_server import (
    ROOT,
    WAIT,
    Bad,
    Runs,
    assert_shows_no_key,
    bad_endpoint,
    langsmith_server,
    traced_environment,
    tracing,
)

USAGE = {"input_tokens": 120, "output_tokens": 15}
PRICE = {"input_per_mtok": 2.5, "output_per_mtok": 10}
LIST = {"tool_calls": [{"name": "list_files", "args": {}}], "usage": USAGE}
ORDER_ARGS = {"item": "Desk lamp", "quantity": 2, "unit_price": 38.25}
ORDER = {"tool_calls": [{"name": "place_order", "args": ORDER_ARGS}], "usage": USAGE}
DELETE = {"tool_calls": [{"name": "delete_records", "args": {"table": "suppliers", "ids": ["104"]}}], "usage": USAGE}
DONE = {"content": "Done.", "usage": USAGE}
COST = 120 * 2.5e-6 + 15 * 1e-5
"""Of one turn, in USD."""
PAIRS = 3
"""Tries to see a run without the noise of a busy machine, which can only make it slower."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    code: int
    out: str
    err: str
    seconds: float
    exit_seconds: float
    """From the result on stdout to the end of the process."""

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


Ballast = Callable[..., Finished]
Script = Callable[..., str]


@pytest.fixture
def ballast(database_url: str, tmp_path: Path) -> Ballast:
    office = shutil.copytree(ROOT / "examples/office", tmp_path / "office", ignore=shutil.ignore_patterns("outbox"))
    ours = {"DATABASE_URL": database_url, "BALLAST_WORKSPACE": str(office), "PYTHONUNBUFFERED": "1"}

    def run(url: str | None, *arguments: str) -> Finished:
        command = [sys.executable, "-m", "app.cli", *arguments, "--json"]
        kept = {name: value for name, value in traced_environment(url).items() if not name.startswith("OPENAI")}
        err = tmp_path / "stderr"
        with err.open("w") as file:
            started = time.monotonic()
            process = subprocess.Popen(
                command, cwd=ROOT, env=kept | ours, stdout=subprocess.PIPE, stderr=file, text=True
            )
            with process:
                assert process.stdout
                out = process.stdout.readline()
                told = time.monotonic()
                code = process.wait(timeout=60)
        ended = time.monotonic()
        return Finished(code=code, out=out, err=err.read_text(), seconds=ended - started, exit_seconds=ended - told)

    return run


@pytest.fixture
def script(tmp_path: Path) -> Script:
    def write(*turns: dict[str, Any]) -> str:
        path = tmp_path / "script.yaml"
        path.write_text(yaml.safe_dump({"turns": list(turns), "price": PRICE}))
        return f"scripted:{path}"

    return write


def _totals(turns: int, **counts: int) -> dict[str, Any]:
    """What the root of a trace says of a run of so many turns."""
    spent = {"prompt_tokens": 120 * turns, "completion_tokens": 15 * turns, "cost_usd": pytest.approx(COST * turns)}
    return {"thread_id": "t", "iterations": turns, **spent, **counts}


def _agrees(metadata: dict[str, Any], **expected: Any) -> None:
    assert {name: metadata.get(name) for name in expected} == expected


def test_a_run_is_traced_with_its_thread_outcome_tiers_tokens_and_cost(ballast: Ballast, script: Script) -> None:
    with langsmith_server() as langsmith:
        done = ballast(langsmith.url, "run", "go", "--thread", "t", "--model", script(LIST, DONE))

    assert (done.code, done.report["outcome"]) == (0, "completed")
    _agrees(langsmith.metadata("react"), outcome="completed", **_totals(2, tool_calls=1))
    first, last = langsmith.all_metadata("reason")
    assert [(tier["tool"], tier["risk"]) for tier in first["tiers"]] == [("list_files", "low")]
    _agrees(first, thread_id="t", prompt_tokens=120, completion_tokens=15, cost_usd=pytest.approx(COST))
    _agrees(last, tiers=[], cost_usd=pytest.approx(2 * COST))
    [tool] = langsmith.metadata("act")["tools"]
    assert tool == {"tool": "list_files", "risk": "low", "ok": True, "reused": False}
    [call, _] = [run["extra"]["metadata"] for run in langsmith.runs() if run["run_type"] == "llm"]
    assert call["usage_metadata"]["total_tokens"] == 135


def test_a_decision_is_traced_with_its_tier_and_who_took_it(ballast: Ballast, script: Script) -> None:
    with langsmith_server() as langsmith:
        waiting = ballast(langsmith.url, "run", "go", "--thread", "t", "--model", script(ORDER, DONE))
        [approval] = waiting.report["approvals"]
        resumed = ballast(langsmith.url, "approvals", "approve", approval["id"], "--resume")

    assert (waiting.code, resumed.code) == (3, 0)
    asked, finished = langsmith.all_metadata("react")
    _agrees(asked, outcome="awaiting_approval", **_totals(1, tool_calls=0))
    _agrees(finished, outcome="completed", **_totals(2, tool_calls=1))
    [tier] = langsmith.all_metadata("reason")[0]["tiers"]
    assert (tier["tool"], tier["risk"]) == ("place_order", "high")
    [decision] = langsmith.all_metadata("approve")[-1]["decisions"]
    assert (decision["tool"], decision["risk"], decision["status"]) == ("place_order", "high", "approved")
    assert decision["by"]


ENDINGS: list[tuple[list[dict[str, Any]], list[str], dict[str, Any]]] = [
    ([DELETE], [], {"outcome": "handed_to_person", **_totals(1, tool_calls=0)}),
    ([LIST, LIST], ["--max-iterations", "1"], {"outcome": "stopped_iterations", **_totals(1, tool_calls=1)}),
    ([LIST], [], {"outcome": "model_failed", **_totals(1, tool_calls=1), "iterations": 2}),
]


@pytest.mark.parametrize(("turns", "flags", "expected"), ENDINGS, ids=[row[-1]["outcome"] for row in ENDINGS])
def test_every_ending_is_on_the_root_of_the_trace(
    ballast: Ballast, script: Script, turns: list[dict[str, Any]], flags: list[str], expected: dict[str, Any]
) -> None:
    with langsmith_server() as langsmith:
        done = ballast(langsmith.url, "run", "go", "--thread", "t", "--model", script(*turns), *flags)

    assert done.report["outcome"] == expected["outcome"]
    _agrees(langsmith.metadata("react"), **expected)


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["refuses", "never answers", "mute after the greeting", "no such host"])
def test_a_dead_endpoint_costs_a_command_less_than_two_seconds(ballast: Ballast, script: Script, kind: Bad) -> None:
    model = script(LIST, DONE)
    with bad_endpoint(kind) as url:
        for _ in range(PAIRS):
            plain = ballast(None, "run", "go", "--model", model)
            traced = ballast(url, "run", "go", "--model", model)
            assert (plain.code, traced.code) == (0, 0)
            assert traced.report["answer"] == "Done."
            assert traced.err.count("LangSmith") == 1, "one line says that the trace is lost"
            assert_shows_no_key(traced.out + traced.err)
            late, lingering = traced.seconds - plain.seconds, traced.exit_seconds - plain.exit_seconds
            if late < WAIT:
                break

    assert late < WAIT
    assert lingering < WAIT


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Starts `langgraph dev` on the real application, traced to a URL."""
    started: list[Server] = []

    def start(url: str) -> Server:
        started.append(Server(folder=tmp_path, database_url=database_url, environment=tracing(url)))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.kill()


def _order_waits(server: Server) -> tuple[str, dict[str, Any]]:
    message = {"role": "user", "content": "order 2 desk lamps at 38.25"}
    with httpx.Client(base_url=server.url, timeout=60) as http:
        thread = http.post("/threads", json={}).json()["thread_id"]
        body = {"assistant_id": "react", "input": {"messages": [message]}}
        return thread, http.post(f"/threads/{thread}/runs/wait", json=body).json()


def _ended(runs: Runs) -> bool:
    return any(run["name"] == "react" and run.get("end_time") for run in runs)


def test_the_server_traces_the_application_once(served: Callable[[str], Server], tmp_path: Path) -> None:
    with langsmith_server() as langsmith:
        thread, state = _order_waits(served(langsmith.url))
        langsmith.wait_until(_ended)

    assert state["__interrupt__"]
    _agrees(langsmith.metadata("react"), thread_id=thread, outcome="awaiting_approval", iterations=1, tool_calls=0)
    [tier] = langsmith.metadata("reason")["tiers"]
    assert (tier["tool"], tier["risk"]) == ("place_order", "high")
    assert_shows_no_key((tmp_path / "server.log").read_text())


@pytest.mark.alone
def test_the_server_neither_waits_for_a_dead_endpoint_nor_shows_the_key(
    served: Callable[[str], Server], tmp_path: Path
) -> None:
    with bad_endpoint("never answers") as url:
        server = served(url)
        _order_waits(server)
        waited = []
        for _ in range(PAIRS):
            started = time.monotonic()
            _order_waits(server)
            waited.append(time.monotonic() - started)
        assert server.process
        server.process.send_signal(signal.SIGINT)
        server.process.wait(timeout=60)

    assert min(waited) < WAIT
    assert_shows_no_key((tmp_path / "server.log").read_text())
