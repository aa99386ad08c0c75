"""LangSmith's endpoint on the loopback, good and bad, and what tests ask of what arrived."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[1]
KEY = "Qx7ZpW4kT9bN2mR8"
WAIT = 2.0
"""Most seconds a user may wait for LangSmith."""

Runs = list[dict[str, Any]]
Bad = Literal["refuses", "never answers", "mute after the greeting", "no such host"]


class LangSmith(ThreadingHTTPServer):
    """Speaks the two calls the library makes; `mute` answers the greeting and nothing after it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *, mute: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.mute, self.bodies, self.released = mute, list[bytes](), threading.Event()
        self.arrived = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, body: bytes) -> None:
        with self.arrived:
            self.bodies.append(body)
            self.arrived.notify_all()

    def runs(self) -> Runs:
        """The runs that arrived in the order they began, later parts over earlier ones."""
        runs: dict[str, dict[str, Any]] = defaultdict(dict)
        for body in self.bodies:
            for part in BytesParser().parsebytes(body).walk():
                name = str(part.get_param("name", header="content-disposition") or "")
                if name.startswith(("post.", "patch.")):
                    _, run, *field = name.split(".")
                    value = json.loads(str(part.get_payload()))
                    runs[run].update({field[0]: value} if field else value)
        return sorted(runs.values(), key=lambda run: str(run.get("dotted_order")))

    def all_metadata(self, name: str) -> Runs:
        """The metadata of every run of this name."""
        return [dict(run["extra"]["metadata"]) for run in self.runs() if run["name"] == name]

    def metadata(self, name: str) -> dict[str, Any]:
        """The metadata of the one run of this name."""
        (found,) = self.all_metadata(name)
        return found

    def wait_until(self, enough: Callable[[Runs], bool]) -> None:
        """Until what arrived is enough; at most 20 s."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: enough(self.runs()), timeout=20), self.runs()


class Answer(BaseHTTPRequestHandler):
    server: LangSmith

    def do_GET(self) -> None:
        self.reply({"version": "0.16.20", "instance_flags": {"zstd_compression_enabled": True}})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.mute:
            self.server.released.wait()
            return
        if self.path == "/runs/multipart":
            self.server.take(f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + body)
        self.reply({})

    def reply(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def langsmith_server(*, mute: bool = False) -> Iterator[LangSmith]:
    with LangSmith(mute=mute) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


@contextmanager
def bad_endpoint(kind: Bad) -> Iterator[str]:
    if kind == "mute after the greeting":
        with langsmith_server(mute=True) as server:
            yield server.url
        return
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        if kind == "never answers":
            port.listen()
        host = "langsmith.invalid" if kind == "no such host" else "127.0.0.1"
        yield f"http://{host}:{port.getsockname()[1]}"


def tracing(url: str | None) -> dict[str, str]:
    """The variables that trace to `url`, or that trace nothing."""
    return {
        "LANGSMITH_TRACING": "true" if url else "false",
        "LANGSMITH_ENDPOINT": url or "",
        "LANGSMITH_API_KEY": KEY,
        "LANGGRAPH_NO_VERSION_CHECK": "true",
    }


def traced_environment(url: str | None) -> dict[str, str]:
    """This process's environment with nothing of its own about tracing; its tests can be imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANGSMITH", "LANGCHAIN"))}
    return {**kept, **tracing(url), "PYTHONPATH": str(ROOT)}


def assert_shows_no_key(output: str) -> None:
    assert "API Key" not in output
    assert [piece for piece in (KEY[i : i + 4] for i in range(len(KEY) - 3)) if piece in output] == []
