"""A page of another site."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def other_site(body: str = "") -> Iterator[str]:
    """Its address. To a browser `localhost` is another site than 127.0.0.1."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f"<!doctype html><title>other</title><body>{body}</body>".encode())

        def log_message(self, *args: object) -> None:
            pass

    serving = http.server.ThreadingHTTPServer(("localhost", 0), Site)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{serving.server_port}/"
    finally:
        serving.shutdown()
        thread.join()
        serving.server_close()
