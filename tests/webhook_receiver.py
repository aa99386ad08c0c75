"""A webhook's receiver on the loopback, over real HTTP."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

KEY = b"a key of thirty-two bytes, no less"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
IN_ADDRESS = "s3cret-t0ken"
"""Stands in the address: receivers such as chat services know their senders by it."""
WAIT_S = 60


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]


def answer(status: int, **headers: str) -> Answer:
    return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


OK, BROKEN, HANGS = answer(204), answer(500), None


@dataclass(frozen=True, kw_only=True)
class Post:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str | bytes = SECRET) -> Any:
        """What it says, when the library of the specification's authors finds the signature good."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver(ThreadingHTTPServer):
    """Answers as it is told, one post after another, the last for ever; HANGS does not until the end."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *answers: Answer | None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.posts = answers, list[Post]()
        self.arrived, self.released = threading.Condition(), threading.Event()
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/hooks/{IN_ADDRESS}"

    def take(self, post: Post) -> Answer | None:
        with self.arrived:
            self.posts.append(post)
            self.arrived.notify_all()
            return self.answers[min(len(self.posts), len(self.answers)) - 1]

    def wait_for(self, count: int) -> list[Post]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.posts) >= count, WAIT_S), f"{len(self.posts)} of {count}"
            return list(self.posts)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that hung up is no error of this server."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        given = self.server.take(Post(path=self.path, headers=headers, body=body))
        if given is None:
            self.server.released.wait()
            return
        self.send_response_only(given.status)
        for name, value in given.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@contextmanager
def receiving(*answers: Answer | None, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    with Receiver(*answers, tls=tls) as receiver:
        threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.released.set()
            receiver.shutdown()
