"""An OpenAI-compatible server whose every third answer is spoiled. It bills, so that limits can be held to the bill."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from evals.chaos import answers, plan_story, story

PRICES = {"chaos-a": (2.5, 10.0), "chaos-b": (1.0, 4.0)}
"""US dollars a million tokens, (prompt, reply)."""
HANG_SECONDS = 3.0
Turns = Sequence[Mapping[str, Any]]
CUT_HEADROOM = 1_000
"""What a cut body was announced to be longer than it is, in bytes."""


@dataclass(kw_only=True)
class Bill:
    """What one run has used, by the provider's books."""

    calls: int = 0
    faults: list[str] = field(default_factory=list)
    told_tokens: int = 0
    """Of replies that reached the client whole, with their usage."""
    tokens: int = 0
    """Those and the ones of replies that were cut off."""
    usd: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A running server."""

    port: int

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return f"http://127.0.0.1:{self.port}/v1"

    def bill(self, run: int) -> Bill:
        """What run `run` has used so far."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"/bill/{run}")
            return Bill(**json.loads(connection.getresponse().read()))
        finally:
            connection.close()


@contextmanager
def serving(seed: int) -> Iterator[Provider]:
    """The server, in a process of its own that ends with the caller's, however that ends."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listening.getsockname()[1]
    waiting, alive = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(alive)
        threading.Thread(target=_end_with, args=(waiting,), daemon=True).start()
        try:
            _serve(listening, seed)
        finally:
            os._exit(1)
    os.close(waiting)
    listening.close()
    try:
        yield Provider(port=port)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(alive)


def _end_with(waiting: int) -> None:
    os.read(waiting, 1)
    os._exit(0)


def _serve(listening: socket.socket, seed: int) -> None:
    server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket, server.seed = listening, seed
    server.serve_forever()


class Server(ThreadingHTTPServer):
    """The books of all runs."""

    daemon_threads = True
    seed: int

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.lock = threading.Lock()
        self.bills: dict[int, Bill] = {}
        self.scripts: dict[int, tuple[Turns, Turns]] = {}
        """Of each run: the agent's turns, the planner's."""

    def handle_error(self, *_given: Any) -> None:
        """A client that gave up is no error here."""

    def begin(self, run: int) -> tuple[str | None, tuple[Turns, Turns]]:
        """(the fault of the run's next call, its scripts)."""
        with self.lock:
            bill = self.bills.setdefault(run, Bill())
            kind = answers.fault(self.seed, run, bill.calls)
            bill.calls += 1
            if kind:
                bill.faults.append(kind)
            if run not in self.scripts:
                turns, planner = story.tell(self.seed, run), plan_story.tell(self.seed, run)
                self.scripts[run] = turns.script["turns"], planner.script["planner"]
            return kind, self.scripts[run]

    def charge(self, run: int, model: str, into: int, out: int, *, told: bool) -> None:
        """Put a reply on the bill."""
        with self.lock:
            bill = self.bills[run]
            bill.tokens += into + out
            bill.told_tokens += into + out if told else 0
            bill.usd += (into * PRICES[model][0] + out * PRICES[model][1]) / 1e6


class Handler(BaseHTTPRequestHandler):
    """Chat completions, whole or streamed, and the books."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_given: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """`/bill/RUN`."""
        bill = self.server.bills.get(int(self.path.rpartition("/")[2]), Bill())
        self._body(200, json.dumps(asdict(bill)).encode())

    def do_POST(self) -> None:
        """`/v1/chat/completions`. The key tells the run: `sk-chaos-RUN`."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        run = int(self.headers["Authorization"].rpartition("-")[2])
        kind, scripts = self.server.begin(run)
        if kind in answers.UNBILLED:
            pause = "0" if run % 2 else "0.05"
            body = json.dumps({"error": {"message": "chaos", "type": "chaos", "code": kind}}).encode()
            self._body(int(kind), body, {"Retry-After": pause})
            return
        reply = answers.right(request, *scripts)
        if kind in answers.SPOILED:
            reply = answers.spoiled(kind, reply)
        reply = answers.bounded(request, reply)
        self.server.charge(
            run,
            request["model"],
            answers.prompt_tokens(request),
            reply.tokens,
            told=kind not in answers.CUT_OFF,
        )
        if kind == "hang":
            time.sleep(HANG_SECONDS)
            self.close_connection = True
        elif request.get("stream"):
            self._stream(kind, answers.pieces(request, reply))
        else:
            self._whole(kind, json.dumps(answers.whole(request, reply)).encode())

    def _whole(self, kind: str | None, body: bytes) -> None:
        if kind == "cut":
            self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(body) + CUT_HEADROOM)})
            self.wfile.write(body)
            self.close_connection = True
        else:
            self._body(200, body[: len(body) // 2] if kind == "malformed" else body)

    def _stream(self, kind: str | None, chunks: Sequence[Mapping[str, Any]]) -> None:
        self._head(200, {"Content-Type": "text/event-stream", "Connection": "close"})
        self.close_connection = True
        shown = chunks[: len(chunks) // 2] if kind in ("cut", "malformed") else chunks
        for chunk in shown:
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.flush()
        if kind == "malformed":
            self.wfile.write(b'data: {"id": "chatcmpl-\n\n')
        if kind != "cut":
            self.wfile.write(b"data: [DONE]\n\n")

    def _body(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
