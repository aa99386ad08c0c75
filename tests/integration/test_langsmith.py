"""A small real graph in a process of its own, and in `langgraph dev`, against endpoints good and bad.

Run as a program this file is that process; loaded by the server it gives the graph and the app.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langsmith import run_trees
from requests.adapters import HTTPAdapter
from starlette.applications import Starlette
from urllib3 import Retry

from graph.context import Telemetry
from services.telemetry import Traced, open_telemetry
from tests.langsmith_server import WAIT, Bad, assert_shows_no_key, bad_endpoint, langsmith_server, traced_environment

DECISION = {"tool": "send_email", "risk": "medium", "reason": "leaves the house", "decision": "approved"}


def build(telemetry: Telemetry, *, post_first: bool = False) -> StateGraph[MessagesState]:
    async def reason(state: MessagesState) -> dict[str, Any]:
        usage = {"input_tokens": 120, "output_tokens": 15, "total_tokens": 135}
        model = GenericFakeChatModel(messages=iter([AIMessage("done", usage_metadata=usage)]))
        reply = await model.ainvoke(state["messages"])
        if post_first:  # so that what follows can only arrive in a later request
            await asyncio.to_thread(run_trees.get_cached_client().flush)
        telemetry.annotate(prompt_tokens=120, completion_tokens=15, cost_usd=0.00045)
        return {"messages": [reply]}

    async def act(state: MessagesState) -> dict[str, Any]:
        telemetry.annotate(decisions=[DECISION])
        telemetry.annotate_run(outcome="completed", prompt_tokens=120, completion_tokens=15, cost_usd=0.00045)
        return {}

    builder = StateGraph(MessagesState)
    builder.add_node("reason", reason)
    builder.add_node("act", act)
    builder.add_edge(START, "reason")
    builder.add_edge("reason", "act")
    builder.add_edge("act", END)
    return builder


graph = build(Traced()).compile(name="react")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with open_telemetry():
        yield


app = Starlette(lifespan=lifespan)


async def program(*, post_first: bool) -> None:
    """Prints when the run starts, ends, and is left, on the clock that all processes share."""
    async with open_telemetry() as telemetry:
        react = build(telemetry, post_first=post_first).compile(name="react", checkpointer=InMemorySaver())
        sys.stdout.write(f"{time.monotonic()}\n")
        hello = MessagesState(messages=[HumanMessage("hello")])
        await react.ainvoke(hello, {"configurable": {"thread_id": "T-1"}})
        sys.stdout.write(f"{time.monotonic()}\n")


def run_program(url: str | None, *arguments: str) -> tuple[float, float, str]:
    """Seconds the run took, seconds from its end to the end of the process, and all it wrote."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=traced_environment(url),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ended = time.monotonic()
    started, left = map(float, done.stdout.split())
    return left - started, ended - left, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [(), ("post-first",)], ids=["one request", "metadata comes later"])
def test_a_trace_holds_thread_decisions_tokens_and_cost(arguments: tuple[str, ...]) -> None:
    with langsmith_server() as server:
        run_program(server.url, *arguments)

    usage = {"prompt_tokens": 120, "completion_tokens": 15, "cost_usd": 0.00045}
    assert sorted(run["name"] for run in server.runs()) == ["GenericFakeChatModel", "act", "react", "reason"]
    assert server.metadata("react").items() >= {"thread_id": "T-1", "outcome": "completed", **usage}.items()
    assert server.metadata("reason").items() >= {"thread_id": "T-1", **usage}.items()
    assert server.metadata("act")["decisions"] == [DECISION]
    assert server.metadata("GenericFakeChatModel")["usage_metadata"]["total_tokens"] == 135


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["refuses", "never answers", "mute after the greeting", "no such host"])
def test_a_dead_endpoint_costs_the_user_less_than_two_seconds_and_shows_no_key(kind: Bad) -> None:
    run_untraced, exit_untraced, _ = run_program(None)
    with bad_endpoint(kind) as url:
        run_traced, exit_traced, output = run_program(url)

    assert (run_traced - run_untraced) + (exit_traced - exit_untraced) < WAIT
    assert output.count("services.telemetry") == 1, "one line says that the trace is lost"
    assert_shows_no_key(output)


@contextmanager
def server_process(folder: Path, url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`langgraph dev`, started so that it makes no LangSmith client of its own, and its port."""
    here = Path(__file__)
    config = {"dependencies": ["."], "graphs": {"react": f"{here}:graph"}, "http": {"app": f"{here}:app"}}
    (folder / "langgraph.json").write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = Path(sys.executable).with_name("langgraph")
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [
                command,
                "dev",
                "--port",
                port,
                "--no-browser",
                "--no-reload",
                "--studio-url",
                "https://x.invalid",
            ],
            cwd=folder,
            env={**traced_environment(url), "LOG_COLOR": "false"},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield process, port
        finally:
            process.kill()


def serve_one_run(folder: Path, url: str) -> tuple[float, str]:
    """Start the server, run the graph, interrupt it; seconds to its end and all it wrote."""
    patient = HTTPAdapter(max_retries=Retry(connect=12, backoff_factor=0.1, backoff_max=1))
    run: dict[str, Any] = {
        "assistant_id": "react",
        "input": {"messages": [{"role": "user", "content": "hello"}]},
    }
    with server_process(folder, url) as (process, port), requests.Session() as session:
        session.mount("http://", patient)
        answer = session.post(f"http://127.0.0.1:{port}/runs/wait", json=run, timeout=30)
        assert answer.json()["messages"][-1]["content"] == "done"
        interrupted = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        return time.monotonic() - interrupted, (folder / "log").read_text()


@pytest.mark.alone
def test_the_server_traces_a_run_once_and_does_not_wait_for_a_dead_endpoint(tmp_path: Path) -> None:
    folders = [tmp_path / "healthy", tmp_path / "dead"]
    for folder in folders:
        folder.mkdir()

    with langsmith_server() as server:
        exit_healthy, _ = serve_one_run(folders[0], server.url)
    with bad_endpoint("never answers") as url:
        exit_dead, output = serve_one_run(folders[1], url)

    assert server.metadata("react").keys() >= {"thread_id", "outcome", "cost_usd"}
    assert server.metadata("act")["decisions"] == [DECISION]
    assert exit_dead - exit_healthy < WAIT
    assert_shows_no_key(output)


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)  # whatever a user turns on, the key is not in it
    asyncio.run(program(post_first="post-first" in sys.argv))
