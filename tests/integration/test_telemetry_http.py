"""`open_telemetry` in this process, over HTTP: what arrives, and what leaving it costs when nothing does."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import langsmith
import pytest
from langgraph.graph import END, START, MessagesState, StateGraph
from langsmith import run_trees, utils

from graph.context import Telemetry
from services.telemetry import LIBRARY_SETTINGS, Traced, open_telemetry
from tests.langsmith_server import WAIT, Bad, assert_shows_no_key, bad_endpoint, langsmith_server, tracing


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The environment and langsmith's own client, put back as they were."""
    for name in LIBRARY_SETTINGS:
        monkeypatch.setenv(name, "")
    client = run_trees._CLIENT
    yield monkeypatch
    langsmith.configure(client=client)
    monkeypatch.undo()
    utils.get_env_var.cache_clear()  # type: ignore[attr-defined]  # an lru_cache, hidden by its overloads


def _trace_to(variables: pytest.MonkeyPatch, url: str) -> None:
    for name, value in tracing(url).items():
        variables.setenv(name, value)
    utils.get_env_var.cache_clear()  # type: ignore[attr-defined]  # an lru_cache, hidden by its overloads


async def _run_traced(telemetry: Telemetry) -> None:
    async def reason(state: MessagesState) -> dict[str, Any]:
        telemetry.annotate(cost_usd=0.25)
        telemetry.annotate_run(outcome="completed")
        return {"messages": []}

    builder = StateGraph(MessagesState)
    builder.add_node("reason", reason)
    builder.add_edge(START, "reason")
    builder.add_edge("reason", END)
    react: Any = builder.compile(name="react")
    await react.ainvoke({"messages": "x"}, {"configurable": {"thread_id": "T-1"}})


async def test_leaving_sends_what_is_on_its_way(
    variables: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with langsmith_server() as langsmith_:
        _trace_to(variables, langsmith_.url)
        async with open_telemetry() as telemetry:
            assert isinstance(telemetry, Traced)
            await _run_traced(telemetry)

    assert langsmith_.metadata("react").items() >= {"thread_id": "T-1", "outcome": "completed"}.items()
    assert langsmith_.metadata("reason")["cost_usd"] == 0.25
    assert [record for record in caplog.records if record.name == "services.telemetry"] == []


@pytest.mark.alone
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("refuses", r"LangSmith does not take traces \(ConnectionError\); going on without"),
        ("mute after the greeting", r"LangSmith did not take \d+ trace records within 1\.0 s: dropped"),
    ],
)
async def test_leaving_a_dead_endpoint_is_short_and_says_once_what_is_lost(
    variables: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Bad, said: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with bad_endpoint(kind) as url:
        _trace_to(variables, url)
        async with open_telemetry() as telemetry:
            await _run_traced(telemetry)
            ended = time.monotonic()
        waited = time.monotonic() - ended

    assert waited < WAIT
    [line] = [record.getMessage() for record in caplog.records if record.name == "services.telemetry"]
    assert re.fullmatch(said, line)
    assert_shows_no_key(caplog.text)
