from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import langsmith
import pytest
import requests
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers.langchain import LangChainTracer
from langgraph.graph import END, START, MessagesState, StateGraph
from langsmith import run_trees, utils

from graph.context import Telemetry, Untraced
from graph.errors import BadSetting
from services.telemetry import (
    LIBRARY_SETTINGS,
    FailureLog,
    KeylessSession,
    Traced,
    below_warning,
    open_telemetry,
)

KEY = "Qx7ZpW4kT9bN2mR8"


class Recorder(langsmith.Client):
    """Keeps what it is given instead of sending it."""

    __slots__ = ("posted",)

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", api_key=KEY, auto_batch_tracing=False)
        self.posted: dict[str, dict[str, Any]] = {}

    def create_run(self, name: str, *_: Any, **fields: Any) -> None:
        self.posted[str(fields["id"])] = {"name": name, **fields}

    def update_run(self, run_id: Any, **fields: Any) -> None:
        self.posted[str(run_id)].update(fields)

    def metadata(self, name: str) -> list[dict[str, Any]]:
        return [run["extra"]["metadata"] for run in self.posted.values() if run["name"] == name]


@pytest.fixture
def langsmith_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in ("LANGSMITH_TRACING", "LANGSMITH_ENDPOINT", "LANGSMITH_RUNS_ENDPOINTS", *LIBRARY_SETTINGS):
        monkeypatch.setenv(name, "")  # also puts back what the code under test sets
    utils.get_env_var.cache_clear()  # type: ignore[attr-defined]  # an lru_cache, hidden by its overloads
    yield monkeypatch
    utils.get_env_var.cache_clear()  # type: ignore[attr-defined]  # an lru_cache, hidden by its overloads


def graph_that_annotates(telemetry: Telemetry) -> Any:
    async def reason(state: MessagesState) -> dict[str, Any]:
        telemetry.annotate(tokens=7)
        telemetry.annotate_run(asked=state["messages"][-1].content)
        return {"messages": []}

    builder = StateGraph(MessagesState)
    builder.add_node("reason", reason)
    builder.add_edge(START, "reason")
    builder.add_edge("reason", END)
    return builder.compile(name="react")


async def test_annotations_land_on_the_node_and_on_the_run_they_belong_to() -> None:
    recorder = Recorder()
    graph = graph_that_annotates(Traced())
    tracer: RunnableConfig = {"callbacks": [LangChainTracer(client=recorder)]}

    await asyncio.gather(*(graph.ainvoke({"messages": word}, tracer) for word in ("one", "two")))

    assert [node["tokens"] for node in recorder.metadata("reason")] == [7, 7]
    assert sorted(run["asked"] for run in recorder.metadata("react")) == ["one", "two"]
    assert all("asked" not in node for node in recorder.metadata("reason"))
    assert all("tokens" not in run for run in recorder.metadata("react"))


async def test_in_a_larger_trace_the_run_is_the_root_of_that_trace() -> None:
    recorder = Recorder()
    outer = run_trees.RunTree(name="eval", client=recorder)
    graph = graph_that_annotates(Traced())
    others: RunnableConfig = {"callbacks": [BaseCallbackHandler(), LangChainTracer(client=recorder)]}

    with langsmith.tracing_context(parent=outer, enabled=True):
        await graph.ainvoke({"messages": "one"}, others)

    assert outer.metadata == {"asked": "one"}
    assert all("asked" not in run for run in recorder.metadata("react"))


async def test_annotating_an_untraced_run_does_nothing() -> None:
    for telemetry in (Traced(), Untraced()):
        await graph_that_annotates(telemetry).ainvoke({"messages": "x"})
        telemetry.annotate(tokens=7)
        telemetry.annotate_run(outcome="completed")


async def test_annotating_a_trace_without_a_graph_does_not_raise() -> None:
    run = run_trees.RunTree(name="outside", client=Recorder())
    with langsmith.tracing_context(parent=run, enabled=True):
        Traced().annotate(tokens=7)
        Traced().annotate_run(outcome="completed")

    assert run.metadata == {"tokens": 7}


async def test_nothing_is_started_when_tracing_is_off(langsmith_environment: pytest.MonkeyPatch) -> None:
    langsmith_environment.setenv("LANGSMITH_TRACING", "false")
    threads, client = threading.active_count(), run_trees._CLIENT

    async with open_telemetry() as telemetry:
        assert isinstance(telemetry, Untraced)
        assert threading.active_count() == threads
        assert run_trees._CLIENT is client


async def test_contradicting_variables_are_refused_with_the_way_out(
    langsmith_environment: pytest.MonkeyPatch,
) -> None:
    langsmith_environment.setenv("LANGSMITH_TRACING", "true")
    langsmith_environment.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:1")
    langsmith_environment.setenv(
        "LANGSMITH_RUNS_ENDPOINTS", f'[{{"api_url": "http://127.0.0.1:1", "api_key": "{KEY}"}}]'
    )

    with pytest.raises(BadSetting, match="LANGSMITH_TRACING=false") as raised:
        async with open_telemetry():
            pass

    assert KEY not in str(raised.value)


def test_a_failed_request_does_not_carry_its_headers_into_the_error() -> None:
    with KeylessSession() as session, pytest.raises(requests.ConnectionError) as raised:
        session.request("GET", "http://127.0.0.1:1", headers={"x-api-key": KEY})

    assert raised.value.request is None


def test_a_closed_session_sends_nothing_more() -> None:
    session = KeylessSession()
    session.close()

    with pytest.raises(requests.ConnectionError, match="closed"):
        session.request("GET", "http://127.0.0.1:1")


def test_each_kind_of_failure_is_told_once_and_never_in_the_servers_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = FailureLog()

    for _ in range(3):
        failures(utils.LangSmithAuthError(f"401: no such key {KEY}"))
    failures(utils.LangSmithRateLimitError("slow down"))
    failures.closed = True
    failures(utils.LangSmithAPIError("too late to tell"))

    assert [record.getMessage() for record in caplog.records] == [
        "LangSmith does not take traces (LangSmithAuthError); going on without",
        "LangSmith does not take traces (LangSmithRateLimitError); going on without",
    ]


@pytest.mark.parametrize(("level", "kept"), [(logging.DEBUG, True), (logging.WARNING, False), (logging.ERROR, False)])
def test_the_librarys_own_warnings_are_kept_out_of_the_log(level: int, kept: bool) -> None:  # noqa: FBT001 - a column of the table
    record = logging.LogRecord("langsmith.client", level, "client.py", 1, "API Key: Qx7Zp***R8", None, None)

    assert below_warning(record) is kept
