"""What all processes spend together: a tenant's day, and the calls in flight.

None of these statements waits for the disk: the checkpoint behind them does, and takes them along. Only a crash of
Postgres itself, between a reservation and the next checkpoint of any thread, can forget one.
"""

from __future__ import annotations

from decimal import Decimal

from checkpoints.database import Pool
from graph.budget import Place, Reserved, Spent
from graph.errors import LimitReached

# `quick` is referenced, so that the setting holds before the statement's end commits it.
RESERVE = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)),
today AS (
    INSERT INTO tenant_days (tenant, day, usd)
    SELECT %(tenant)s, (now() AT TIME ZONE 'UTC')::date, %(usd)s FROM quick WHERE %(usd)s <= %(cap)s
    ON CONFLICT (tenant, day) DO UPDATE SET usd = tenant_days.usd + EXCLUDED.usd
    WHERE tenant_days.usd + EXCLUDED.usd <= %(cap)s
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
# The call is charged to the day it was reserved on, also when it ends after midnight. Of a run without a thread
# nothing is executed again: its row has served.
SETTLE = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)),
before AS (SELECT tenant, day, usd FROM quick, reservations WHERE id = %(id)s),
served AS (DELETE FROM reservations WHERE id = %(id)s AND thread_id = ''),
settled AS (
    UPDATE reservations SET prompt_tokens = %(prompt)s, completion_tokens = %(completion)s, usd = %(usd)s
    WHERE id = %(id)s AND thread_id <> ''
)
UPDATE tenant_days SET usd = tenant_days.usd - before.usd + %(usd)s
FROM before WHERE tenant_days.tenant = before.tenant AND tenant_days.day = before.day
"""
COUNT = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO tenant_days (tenant, day, tool_calls)
SELECT %(tenant)s, (now() AT TIME ZONE 'UTC')::date, %(count)s FROM quick WHERE %(count)s <= %(cap)s
ON CONFLICT (tenant, day) DO UPDATE SET tool_calls = tenant_days.tool_calls + EXCLUDED.tool_calls
WHERE tenant_days.tool_calls + EXCLUDED.tool_calls <= %(cap)s
RETURNING tool_calls
"""
TODAY = """
SELECT usd, tool_calls FROM tenant_days WHERE tenant = %s AND day = (now() AT TIME ZONE 'UTC')::date
"""


class PostgresSpending:
    """`graph.budget.Spending` over a pool."""

    def __init__(self, pool: Pool, *, usd_a_day: float, tool_calls_a_day: int) -> None:
        self._pool = pool
        self._usd_a_day, self._tool_calls_a_day = usd_a_day, tool_calls_a_day

    async def reserve(self, worst: Spent, place: Place, *, execution: str, tenant: str) -> Reserved:
        """See `graph.budget.Spending.reserve`."""
        row = {
            "thread": place.thread_id,
            "checkpoint": place.checkpoint_id,
            "node": place.node,
            "execution": execution,
            "tenant": tenant,
            "cap": _money(self._usd_a_day),
            **_figures(worst),
        }
        async with self._pool.connection() as connection:
            found = await (await connection.execute(RESERVE, row)).fetchone()
        if found is None or found["id"] is None:
            spent, _ = await self.today(tenant)
            raise LimitReached(
                "stopped_cost",
                f"cost: tenant {tenant} has spent {spent:.4f} of its {self._usd_a_day:g} USD of today (UTC), "
                f"the next call may take {worst.cost_usd:.4f}; BALLAST_TENANT_USD_PER_DAY raises it",
            )
        lost = Spent(
            calls=found["calls"],
            prompt_tokens=int(found["prompt_tokens"]),
            completion_tokens=int(found["completion_tokens"]),
            cost_usd=float(found["usd"]),
        )
        return Reserved(id=found["id"], lost=lost)

    async def settle(self, reserved: Reserved, actual: Spent) -> None:
        """See `graph.budget.Spending.settle`."""
        async with self._pool.connection() as connection:
            await connection.execute(SETTLE, {"id": reserved.id, **_figures(actual)})

    async def count_tool_calls(self, count: int, *, tenant: str) -> None:
        """See `graph.budget.Spending.count_tool_calls`."""
        row = {"tenant": tenant, "count": count, "cap": self._tool_calls_a_day}
        async with self._pool.connection() as connection:
            found = await (await connection.execute(COUNT, row)).fetchone()
        if found is None:
            _, made = await self.today(tenant)
            raise LimitReached(
                "stopped_tool_calls",
                f"tool calls: {count} more after tenant {tenant} made {made} of its {self._tool_calls_a_day} of today "
                "(UTC); BALLAST_TENANT_TOOL_CALLS_PER_DAY raises it",
            )

    async def today(self, tenant: str) -> tuple[float, int]:
        """(USD, tool calls) of the tenant's day so far, calls in flight at their worst."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(TODAY, (tenant,))).fetchone()
        return (float(row["usd"]), int(row["tool_calls"])) if row else (0.0, 0)


def _figures(spent: Spent) -> dict[str, int | Decimal]:
    return {
        "prompt": spent.prompt_tokens,
        "completion": spent.completion_tokens,
        "usd": _money(spent.cost_usd),
    }


def _money(usd: float) -> Decimal:
    """To ten decimals, as it is stored: what floats add beyond that is no money."""
    return Decimal(f"{usd:.10f}")
