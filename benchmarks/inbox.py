"""How long a real `langgraph dev` takes for the inbox: 1,000 approvals wait, behind 100,000 that were decided."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import httpx
import psycopg

from benchmarks.server import dev_server

PENDING, DECIDED = 1_000, 100_000
REQUESTS, WARM_UP = 100, 10
PAGES = ("/inbox", f"/inbox?after=ap-pending-{PENDING // 2}", "/inbox/ap-pending-1", "/approvals")

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


async def inbox(url: str, folder: Path) -> list[tuple[str, str, str]]:
    """Rows of the table: milliseconds from request to last byte, over loopback, one request after the other."""
    environment = {**os.environ, "DATABASE_URL": url, "LANGSMITH_TRACING": "false"}
    async with dev_server(environment, folder) as server:
        with psycopg.connect(url, autocommit=True) as connection:
            for status, count in (("rejected", DECIDED), ("pending", PENDING)):
                connection.execute(FILL, {"name": f"ap-{status}-", "status": status, "count": count})
            connection.execute("ANALYZE approvals")
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            spent = {page: await _spent(http, page) for page in PAGES}
    slowest = max(spent, key=lambda page: spent[page])
    return [
        (
            f"the inbox over {PENDING:,} pending and {DECIDED:,} decided approvals: ms, 95th percentile, slowest page",
            f"{spent[slowest]:.0f} ({slowest})",
            "300 or less",
        )
    ]


async def _spent(http: httpx.AsyncClient, page: str) -> float:
    """95th percentile, in ms."""
    spent = []
    for _ in range(WARM_UP + REQUESTS):
        began = time.perf_counter()
        (await http.get(page)).raise_for_status()
        spent.append(1_000 * (time.perf_counter() - began))
    return statistics.quantiles(spent[WARM_UP:], n=20)[18]
