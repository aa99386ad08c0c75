"""What all processes spend together: a tenant's day, and the calls in flight.

None of these statements waits for the disk: the checkpoint behind them does, and takes them along. Only a crash of
Postgres itself, between a reservation and the next checkpoint of any thread, can forget one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, LiteralString

from checkpoints.database import Pool
from checkpoints.outage import patient
from graph.budget import Place, Reserved, Spent
from graph.errors import LimitReached, ThreadTaken

# A run that was taken over makes no further call: what it sets aside would take the place of its successor's. A call
# in flight then does not matter, so this locks nothing.
HELD: LiteralString = """(%(claim)s::bigint IS NULL OR EXISTS (
        SELECT 1 FROM claims WHERE thread_id = %(thread)s AND token = %(claim)s::bigint
    ))"""
# `quick` is referenced, so that the setting holds before the statement's end commits it.
# What the place's row held before comes from executions of it that were cut off, or from this one.
RESERVE: LiteralString = f"""
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)),
today AS (
    INSERT INTO tenant_usd (tenant, day, usd)
    SELECT %(tenant)s, (now() AT TIME ZONE 'UTC')::date, %(usd)s FROM quick WHERE %(usd)s <= %(cap)s AND {HELD}
    ON CONFLICT (tenant, day) DO UPDATE SET usd = tenant_usd.usd + EXCLUDED.usd
    WHERE tenant_usd.usd + EXCLUDED.usd <= %(cap)s
    RETURNING day
),
place AS (
    INSERT INTO reservations AS r (thread_id, node, checkpoint_id, calls, prompt_tokens, completion_tokens, usd)
    SELECT %(thread)s, %(node)s, %(checkpoint)s, %(calls)s, %(prompt)s, %(completion)s, %(usd)s
    FROM today WHERE %(thread)s <> ''
    ON CONFLICT (thread_id, node) DO UPDATE SET
        checkpoint_id = EXCLUDED.checkpoint_id,
        calls = EXCLUDED.calls + CASE WHEN r.checkpoint_id = EXCLUDED.checkpoint_id THEN r.calls ELSE 0 END,
        prompt_tokens = EXCLUDED.prompt_tokens
            + CASE WHEN r.checkpoint_id = EXCLUDED.checkpoint_id THEN r.prompt_tokens ELSE 0 END,
        completion_tokens = EXCLUDED.completion_tokens
            + CASE WHEN r.checkpoint_id = EXCLUDED.checkpoint_id THEN r.completion_tokens ELSE 0 END,
        usd = EXCLUDED.usd + CASE WHEN r.checkpoint_id = EXCLUDED.checkpoint_id THEN r.usd ELSE 0 END
    RETURNING calls - %(calls)s AS calls, prompt_tokens - %(prompt)s AS prompt_tokens,
              completion_tokens - %(completion)s AS completion_tokens, usd - %(usd)s AS usd
)
SELECT today.day, place.* FROM today LEFT JOIN place ON true
"""  # noqa: S608 - HELD is a constant
BEFORE: LiteralString = f"""
SELECT {HELD} AS held, r.* FROM (SELECT 1) AS one LEFT JOIN (
    SELECT calls, prompt_tokens, completion_tokens, usd FROM reservations
    WHERE thread_id = %(thread)s AND node = %(node)s AND checkpoint_id = %(checkpoint)s
) AS r ON true
"""  # noqa: S608 - HELD is a constant
# `counted` is null when the tenant's day has no room for the tool calls.
SETTLE = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true)),
refunded AS (
    UPDATE tenant_usd SET usd = tenant_usd.usd + %(usd)s FROM quick WHERE tenant = %(tenant)s AND day = %(day)s
),
settled AS (
    UPDATE reservations SET calls = calls + %(calls)s, prompt_tokens = prompt_tokens + %(prompt)s,
        completion_tokens = completion_tokens + %(completion)s, usd = usd + %(usd)s
    WHERE thread_id = %(thread)s AND node = %(node)s AND checkpoint_id = %(checkpoint)s
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
    async def reserve(self, worst: Spent, place: Place, *, tenant: str) -> Reserved:
        """See `graph.budget.Spending.reserve`."""
        cap = {"cap": _money(self._usd_a_day), "tenant": tenant}
        found = await self._one(RESERVE, {**_where(place), **_columns(worst), **cap})
        if found is None:
            before = await self._one(BEFORE, _where(place))
            if before and not before["held"]:
                raise ThreadTaken(place.thread_id)
            spent, _ = await self.today(tenant)
            raise LimitReached(
                "stopped_cost",
                f"cost: tenant {tenant} has spent {spent:.4f} of its {self._usd_a_day:g} USD of today (UTC), "
                f"the next call may take {worst.cost_usd:.4f}; BALLAST_TENANT_USD_PER_DAY raises it",
                lost=_spent(before),
            )
        return Reserved(worst=worst, day=found["day"], before=_spent(found))

    @patient
    async def before(self, place: Place) -> Spent:
        """See `graph.budget.Spending.before`."""
        return _spent(await self._one(BEFORE, _where(place)))

    async def settle(
        self, actual: Sequence[tuple[Reserved, Spent]], place: Place, *, tenant: str, tool_calls: int = 0
    ) -> None:
        """See `graph.budget.Spending.settle`."""
        # A call is charged to the day it was reserved on, also when it ends after midnight: mostly there is one day.
        days = sorted({reserved.day for reserved, _ in actual})
        for day in days[:-1]:
            await self._settle(_difference(actual, day), place, day, tenant=tenant, tool_calls=0)
        last = days[-1] if days else None
        counted = await self._settle(_difference(actual, last), place, last, tenant=tenant, tool_calls=tool_calls)
        if tool_calls and counted is None:
            _, made = await self.today(tenant)
            raise LimitReached(
                "stopped_tool_calls",
                f"tool calls: {tool_calls} more after tenant {tenant} made {made} of its {self._tool_calls_a_day} of "
                "today (UTC); BALLAST_TENANT_TOOL_CALLS_PER_DAY raises it",
            )

    async def _settle(self, more: Spent, place: Place, day: date | None, *, tenant: str, tool_calls: int) -> int | None:
        """The tenant's tool calls of today; None when none was counted."""
        count = {"tenant": tenant, "day": day, "count": tool_calls, "cap": self._tool_calls_a_day}
        told = False

        @patient
        async def once() -> int | None:
            nonlocal told
            # When the first answer was lost, this may have arrived: nothing is given back twice, and what a call cost
            # beyond its worst is charged again rather than not at all.
            columns, told = _columns(_upward(more) if told else more), True
            found = await self._one(SETTLE, {**_where(place), **columns, **count})
            return found["counted"] if found else None

        return await once()

    @patient
    async def today(self, tenant: str) -> tuple[float, int]:
        """(USD, tool calls) of the tenant's day so far, calls in flight at their worst."""
        row = await self._one(TODAY, {"tenant": tenant})
        return (float(row["usd"]), int(row["tool_calls"])) if row else (0.0, 0)

    async def _one(self, query: LiteralString, row: dict[str, Any]) -> dict[str, Any] | None:
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, row)).fetchone()


def _where(place: Place) -> dict[str, Any]:
    return {
        "thread": place.thread_id,
        "node": place.node,
        "checkpoint": place.checkpoint_id,
        "claim": place.claim,
    }


def _columns(spent: Spent) -> dict[str, Any]:
    return {
        "calls": spent.calls,
        "prompt": spent.prompt_tokens,
        "completion": spent.completion_tokens,
        "usd": _money(spent.cost_usd),
    }


def _spent(row: dict[str, Any] | None) -> Spent:
    """Nothing, for a place without a row."""
    if row is None or row["calls"] is None:
        return Spent(calls=0)
    return Spent(
        calls=row["calls"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        cost_usd=float(row["usd"]),
    )


def _difference(actual: Sequence[tuple[Reserved, Spent]], day: date | None) -> Spent:
    """What the calls reserved on that day cost beyond what was set aside for them: mostly negative."""
    pairs = [(spent, reserved.worst) for reserved, spent in actual if reserved.day == day]
    return Spent(
        calls=sum(spent.calls - worst.calls for spent, worst in pairs),
        prompt_tokens=sum(spent.prompt_tokens - worst.prompt_tokens for spent, worst in pairs),
        completion_tokens=sum(spent.completion_tokens - worst.completion_tokens for spent, worst in pairs),
        cost_usd=float(sum(_money(spent.cost_usd) - _money(worst.cost_usd) for spent, worst in pairs)),
    )


def _upward(more: Spent) -> Spent:
    return Spent(
        calls=max(more.calls, 0),
        prompt_tokens=max(more.prompt_tokens, 0),
        completion_tokens=max(more.completion_tokens, 0),
        cost_usd=max(more.cost_usd, 0.0),
    )


def _money(usd: float) -> Decimal:
    """To ten decimals, as it is stored: what floats add beyond that is no money."""
    return Decimal(f"{usd:.10f}")
