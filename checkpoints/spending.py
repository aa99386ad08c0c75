"""What all processes spend together: a tenant's day, and the calls in flight.

None of these statements waits for the disk: the checkpoint behind them does, and takes them along. Only a crash of
Postgres itself, between a reservation and the next checkpoint of any thread, can forget one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from checkpoints.database import Pool
from checkpoints.outage import patient
from graph.budget import Place, Reserved, Spent
from graph.errors import LimitReached

# `quick` is referenced, so that the setting holds before the statement's end commits it.
RESERVE = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)),
today AS (
    INSERT INTO tenant_usd (tenant, day, usd)
    SELECT %(tenant)s, (now() AT TIME ZONE 'UTC')::date, %(usd)s FROM quick WHERE %(usd)s <= %(cap)s
    ON CONFLICT (tenant, day) DO UPDATE SET usd = tenant_usd.usd + EXCLUDED.usd
    WHERE tenant_usd.usd + EXCLUDED.usd <= %(cap)s
    RETURNING day
),
passed AS (
    DELETE FROM reservations WHERE thread_id = %(thread)s AND thread_id <> '' AND checkpoint_id <> %(checkpoint)s
),
made AS (
    INSERT INTO reservations
        (thread_id, checkpoint_id, node, execution, tenant, day, prompt_tokens, completion_tokens, usd)
    SELECT %(thread)s, %(checkpoint)s, %(node)s, %(execution)s, %(tenant)s, day, %(prompt)s, %(completion)s, %(usd)s
    FROM today
    RETURNING id
)
SELECT (SELECT id FROM made) AS id, count(*) AS calls, coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
       coalesce(sum(completion_tokens), 0) AS completion_tokens, coalesce(sum(usd), 0) AS usd
FROM reservations
WHERE thread_id = %(thread)s AND thread_id <> '' AND checkpoint_id = %(checkpoint)s AND node = %(node)s
  AND execution <> %(execution)s
"""
# A call is charged to the day it was reserved on, also when it ends after midnight. Of a run without a thread nothing
# is executed again: its rows have served. `counted` is null when the tenant's day has no room for the tool calls.
SETTLE = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)),
actual AS (
    SELECT a.*
    FROM quick, unnest(%(ids)s::bigint[], %(prompts)s::bigint[], %(completions)s::bigint[], %(usds)s::numeric[])
         AS a (id, prompt, completion, usd)
),
refund AS (
    SELECT r.tenant, r.day, sum(a.usd - r.usd) AS usd FROM reservations r JOIN actual a USING (id) GROUP BY 1, 2
),
refunded AS (
    UPDATE tenant_usd t SET usd = t.usd + refund.usd FROM refund WHERE t.tenant = refund.tenant AND t.day = refund.day
),
served AS (DELETE FROM reservations r USING actual a WHERE r.id = a.id AND r.thread_id = ''),
settled AS (
    UPDATE reservations r SET prompt_tokens = a.prompt, completion_tokens = a.completion, usd = a.usd
    FROM actual a WHERE r.id = a.id AND r.thread_id <> ''
),
counted AS (
    INSERT INTO tenant_tool_calls (tenant, day, tool_calls)
    SELECT %(tenant)s, (now() AT TIME ZONE 'UTC')::date, %(count)s FROM quick WHERE %(count)s BETWEEN 1 AND %(cap)s
    ON CONFLICT (tenant, day) DO UPDATE SET tool_calls = tenant_tool_calls.tool_calls + EXCLUDED.tool_calls
    WHERE tenant_tool_calls.tool_calls + EXCLUDED.tool_calls <= %(cap)s
    RETURNING tool_calls
)
SELECT (SELECT tool_calls FROM counted) AS counted
"""
TODAY = """
SELECT coalesce((SELECT usd FROM tenant_usd WHERE tenant = %(tenant)s AND day = today), 0) AS usd,
       coalesce((SELECT tool_calls FROM tenant_tool_calls WHERE tenant = %(tenant)s AND day = today), 0) AS tool_calls
FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS clock
"""


class PostgresSpending:
    """`graph.budget.Spending` over a pool."""

    def __init__(self, pool: Pool, *, usd_a_day: float, tool_calls_a_day: int) -> None:
        self._pool = pool
        self._usd_a_day, self._tool_calls_a_day = usd_a_day, tool_calls_a_day

    @patient  # asked twice when the first answer was lost, a call is set aside twice: never too little
    async def reserve(self, worst: Spent, place: Place, *, execution: str, tenant: str) -> Reserved:
        """See `graph.budget.Spending.reserve`."""
        row = {
            "thread": place.thread_id,
            "checkpoint": place.checkpoint_id,
            "node": place.node,
            "execution": execution,
            "tenant": tenant,
            "cap": _money(self._usd_a_day),
            "prompt": worst.prompt_tokens,
            "completion": worst.completion_tokens,
            "usd": _money(worst.cost_usd),
        }
        async with self._pool.connection() as connection:
            found = await (await connection.execute(RESERVE, row)).fetchone()
        assert found is not None  # noqa: S101 - an aggregate always has a row
        lost = Spent(
            calls=found["calls"],
            prompt_tokens=int(found["prompt_tokens"]),
            completion_tokens=int(found["completion_tokens"]),
            cost_usd=float(found["usd"]),
        )
        if found["id"] is None:
            spent, _ = await self.today(tenant)
            raise LimitReached(
                "stopped_cost",
                f"cost: tenant {tenant} has spent {spent:.4f} of its {self._usd_a_day:g} USD of today (UTC), "
                f"the next call may take {worst.cost_usd:.4f}; BALLAST_TENANT_USD_PER_DAY raises it",
                lost=lost,
            )
        return Reserved(id=found["id"], lost=lost)

    @patient
    async def settle(self, actual: Sequence[tuple[Reserved, Spent]], *, tenant: str, tool_calls: int = 0) -> None:
        """See `graph.budget.Spending.settle`."""
        row = {
            "ids": [reserved.id for reserved, _ in actual],
            "prompts": [spent.prompt_tokens for _, spent in actual],
            "completions": [spent.completion_tokens for _, spent in actual],
            "usds": [_money(spent.cost_usd) for _, spent in actual],
            "tenant": tenant,
            "count": tool_calls,
            "cap": self._tool_calls_a_day,
        }
        async with self._pool.connection() as connection:
            found = await (await connection.execute(SETTLE, row)).fetchone()
        if tool_calls and (found is None or found["counted"] is None):
            _, made = await self.today(tenant)
            raise LimitReached(
                "stopped_tool_calls",
                f"tool calls: {tool_calls} more after tenant {tenant} made {made} of its {self._tool_calls_a_day} of "
                "today (UTC); BALLAST_TENANT_TOOL_CALLS_PER_DAY raises it",
            )

    @patient
    async def today(self, tenant: str) -> tuple[float, int]:
        """(USD, tool calls) of the tenant's day so far, calls in flight at their worst."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(TODAY, {"tenant": tenant})).fetchone()
        return (float(row["usd"]), int(row["tool_calls"])) if row else (0.0, 0)


def _money(usd: float) -> Decimal:
    """To ten decimals, as it is stored: what floats add beyond that is no money."""
    return Decimal(f"{usd:.10f}")
