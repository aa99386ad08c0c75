"""An endpoint that speaks OpenAI's protocol and plays a model that judges: what it says of a text, the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 1_000, "completion_tokens": 2, "total_tokens": 1_002}


@dataclass(kw_only=True)
class Judge:
    """Says `safe` of all but the texts that hold a word of `bad`."""

    bad: dict[str, str] = field(default_factory=dict)
    """What it answers, by the word."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    hang: threading.Event | None = None
    """When set, no answer comes before this."""
    url: str = ""

    def answer(self, body: dict[str, Any]) -> str:
        self.asked.append(body)
        said = body["messages"][-1]["content"]
        return next((answer for word, answer in self.bad.items() if word in said), "safe")

    def texts(self) -> list[str]:
        """The text of each request."""
        return [one["messages"][-1]["content"] for one in self.asked]


@contextmanager
def judging() -> Iterator[Judge]:
    """A judge that listens."""
    judge = Judge()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_given: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = judge.answer(body)
            if judge.hang:
                judge.hang.wait(30)
            kind, text = _said(answer, streamed=bool(body.get("stream")))
            try:
                self.send_response(judge.status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(text.encode())
            except OSError:  # nobody waits for it any more
                self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        judge.url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield judge
        finally:
            if judge.hang:
                judge.hang.set()
            server.shutdown()
            thread.join()


def _said(answer: str, *, streamed: bool) -> tuple[str, str]:
    whole: dict[str, Any] = {"id": "x", "created": 1, "model": "guard"}
    if not streamed:
        choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
        return "application/json", json.dumps(
            {**whole, "object": "chat.completion", "choices": [choice], "usage": USAGE}
        )
    delta = {"index": 0, "delta": {"role": "assistant", "content": answer}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks = [
        {**whole, "object": "chat.completion.chunk", "choices": [delta]},
        {**whole, "object": "chat.completion.chunk", "choices": [end]},
        {**whole, "object": "chat.completion.chunk", "choices": [], "usage": USAGE},
    ]
    return "text/event-stream", "".join(f"data: {json.dumps(one)}\n\n" for one in chunks) + "data: [DONE]\n\n"
