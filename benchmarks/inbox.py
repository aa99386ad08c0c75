"""How long a real `langgraph dev` takes for the inbox: `python -m benchmarks.inbox`.

1,000 approvals wait, behind 100,000 that were decided. Milliseconds from request to last byte, over loopback, one
request after the other.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from evals.chaos.postgres import own_postgres

PENDING, DECIDED = 1_000, 100_000
REQUESTS, WARM_UP = 100, 10
START_S = 60
CONFIG = Path(__file__).parents[1] / "langgraph.json"

FILL = """
INSERT INTO approvals (id, thread_id, interrupt_id, call_id, tool, args, risk, reason, requester, created_at, status,
                       decided_by, decided_at)
SELECT %(name)s || n, 'thread-' || n / 3, 'i', 'c', (ARRAY['send_email', 'pay_invoice', 'place_order'])[1 + n %% 3],
       (ARRAY['{"to": "ann@example.com", "subject": "Offer", "body": "Hello Ann"}',
              '{"payee": "ACME", "iban": "DE89370400440532013000", "amount": 1200.5, "reference": "R-1"}',
              '{"item": "Desk lamp", "quantity": 2, "unit_price": 38.25}'])[1 + n %% 3]::json,
       (ARRAY['medium', 'high', 'high'])[1 + n %% 3], 'because of what it does', 'person-' || n %% 20,
       now() - n * interval '1 second', %(status)s,
       CASE WHEN %(status)s <> 'pending' THEN 'ann' END, CASE WHEN %(status)s <> 'pending' THEN now() END
FROM generate_series(1, %(count)s) AS n
"""

Figures = dict[str, dict[str, float]]


def main() -> None:
    """Print a line an address."""
    for address, figures in measure().items():
        print(f"{address:<28} " + "  ".join(f"{name} {value:,.1f}" for name, value in figures.items()))


def measure() -> Figures:
    """{address: {"p50_ms", "p95_ms", "kb"}}."""
    with own_postgres() as postgres, tempfile.TemporaryDirectory() as folder, _server(postgres.url, folder) as url:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            for status, count in (("rejected", DECIDED), ("pending", PENDING)):
                connection.execute(FILL, {"name": f"ap-{status}-", "status": status, "count": count})
            connection.execute("ANALYZE approvals")
        with httpx.Client(base_url=url, timeout=60) as http:
            last = f"/inbox?after=ap-pending-{PENDING // 2}"
            return {address: _timed(http, address) for address in ("/inbox", last, "/inbox/ap-pending-1", "/approvals")}


def _timed(http: httpx.Client, address: str) -> dict[str, float]:
    spent = []
    for _ in range(WARM_UP + REQUESTS):
        began = time.perf_counter()
        answer = http.get(address).raise_for_status()
        spent.append(1_000 * (time.perf_counter() - began))
    cuts = statistics.quantiles(spent[WARM_UP:], n=20)
    return {"p50_ms": statistics.median(spent[WARM_UP:]), "p95_ms": cuts[18], "kb": len(answer.content) / 1_000}


@contextmanager
def _server(database_url: str, folder: str) -> Iterator[str]:
    """A real server on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("langgraph")), "dev", "--config", str(CONFIG), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--no-browser", "--no-reload", "--studio-url", "http://127.0.0.1:9"]
    environment = os.environ | {"DATABASE_URL": database_url, "LANGSMITH_TRACING": "false"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=quiet, stderr=quiet) as process:  # noqa: S603 - ours
        try:
            yield _answering(f"http://127.0.0.1:{port}")
        finally:
            process.kill()


def _answering(url: str) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            httpx.get(f"{url}/ok", timeout=1).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return url
    raise RuntimeError(f"langgraph dev did not answer within {START_S} s")


if __name__ == "__main__":
    main()
