"""Traces to LangSmith that cost a user no time and never show the API key.

LangSmith's own switch turns it on (`LANGSMITH_TRACING=true`), and LangChain then traces every graph, node
and model call by itself, thread id included. What is ours: the client it uses, and the facts nodes add.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import langsmith
import requests
from langchain_core.runnables import ensure_config
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import utils
from langsmith.run_trees import RunTree

from graph.context import Telemetry, Untraced
from graph.errors import BadSetting

FLUSH_SECONDS = 1.0
"""How long closing waits for traces that are still on their way."""

GREETING_TIMEOUT_MS = (2_000, 5_000)
"""To connect, and to answer the background thread's first question, before which it sends nothing."""

LIBRARY_SETTINGS = {
    # Otherwise the interpreter waits for the sending thread when it exits.
    "LANGSMITH_USE_DAEMON": "true",
    # Compressed traces are sent from a thread pool, for which the interpreter waits as well.
    "LANGSMITH_DISABLE_RUN_COMPRESSION": "true",
}
"""What the langsmith library reads from the environment only.

`langgraph dev` makes a client of its own before any of our code runs: start it with `--studio-url`, and
with `--no-browser`, and it makes none."""

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_telemetry() -> AsyncIterator[Telemetry]:
    """Make every graph run of this process traced the way this module promises; one at a time a process.

    Starts nothing when tracing is off. Leaving it takes at most `FLUSH_SECONDS`; traces that LangSmith
    has not taken by then are dropped, and a line in the log says so.

    Raises:
        BadSetting: LangSmith's variables contradict each other or can't be read.
    """
    if not utils.tracing_is_enabled():
        yield Untraced()
        return
    failures = FailureLog()
    client = await asyncio.to_thread(open_client, failures)
    langsmith.configure(client=client)
    try:
        yield Traced()
    finally:
        # Stays configured: a run that outlives us would else make a default client, with all its waits.
        await asyncio.to_thread(close_client, client, failures)


class Traced:
    """Telemetry that lands in the trace's JSON, as `extra.metadata` of the node or of the run."""

    def annotate(self, **metadata: Any) -> None:
        """See `Telemetry.annotate`. Does nothing outside a traced node."""
        run = langsmith.get_current_run_tree()
        if run is not None:
            _add(run, metadata)

    def annotate_run(self, **metadata: Any) -> None:
        """See `Telemetry.annotate_run`; the run is the root of the trace. Does nothing outside a traced node."""
        run = langsmith.get_current_run_tree()
        if run is None:
            return
        for handler in getattr(ensure_config().get("callbacks"), "handlers", ()):
            if isinstance(handler, LangChainTracer):
                while parent := handler.run_map.get(str(run.parent_run_id)):
                    run = parent
                _add(run, metadata)
                return


def _add(run: RunTree, metadata: dict[str, Any]) -> None:
    # A new dict: the tracer shares one between a run, its events and what streams to the client.
    run.extra = {**(run.extra or {}), "metadata": {**run.metadata, **metadata}}


class FailureLog:
    """Says once what goes wrong, in place of langsmith's own lines, which show the ends of the key."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.closed = False

    def __call__(self, error: Exception) -> None:
        """Log the first failure of its kind. The text of the error stays out: a server may echo the key."""
        kind = type(error.__cause__ or error).__name__
        if self.closed or kind in self.seen:
            return
        self.seen.add(kind)
        logger.warning("LangSmith does not take traces (%s); going on without", kind)


class KeylessSession(requests.Session):
    """An HTTP session whose errors don't carry the request, and with it the API key, into messages."""

    closed = False

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """See `requests.Session.request`; after `close` it fails at once."""
        if self.closed:
            raise requests.ConnectionError("closed")
        try:
            return super().request(*args, **kwargs)
        except requests.RequestException as error:
            error.request = None
            raise

    def close(self) -> None:
        """Also end what the sending thread would still try."""
        self.closed = True
        super().close()


def open_client(failures: FailureLog) -> langsmith.Client:
    """A client that sends from a daemon thread and retries only what an answering server asks for."""
    os.environ.update(LIBRARY_SETTINGS)
    utils.get_env_var.cache_clear()  # type: ignore[attr-defined]  # an lru_cache, hidden by its overloads
    logging.getLogger("langsmith.client").addFilter(below_warning)
    try:
        return langsmith.Client(
            session=KeylessSession(),
            timeout_ms=GREETING_TIMEOUT_MS,
            retry_config=utils.LangSmithRetry(
                total=2,
                connect=0,
                read=0,
                status_forcelist=[408, 425, 429, 502, 503, 504],
                allowed_methods=None,
                backoff_factor=0.2,
                respect_retry_after_header=False,
                raise_on_status=False,
            ),
            tracing_error_callback=failures,
            disable_prompt_cache=True,
        )
    except utils.LangSmithError as error:
        raise BadSetting(f"LangSmith can't be set up: {error} Mend it, or set LANGSMITH_TRACING=false.") from None


def close_client(client: langsmith.Client, failures: FailureLog) -> None:
    """Wait for traces on their way, at most `FLUSH_SECONDS`, then stop."""
    client.flush(timeout=FLUSH_SECONDS)
    failures.closed = True
    client.close(timeout=0)
    left = client.tracing_queue.unfinished_tasks if client.tracing_queue else 0
    if left and not failures.seen:
        logger.warning("LangSmith did not take %d trace records within %s s: dropped", left, FLUSH_SECONDS)


def below_warning(record: logging.LogRecord) -> bool:
    """Keep a logger's warnings and errors out of every log."""
    return record.levelno < logging.WARNING
