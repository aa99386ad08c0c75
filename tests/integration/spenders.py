"""Processes that spend, for tests that kill them: `python spenders.py reserve|run DATABASE_URL JSON`.

`reserve` reserves at once, as often as it is told, and prints how often there was room. `run` starts or resumes a
thread, prints `asked` when a model call is reserved, and its report when the run ends.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.lifespan import opened
from app.runs import Runs
from checkpoints.database import open_pool
from checkpoints.spending import PostgresSpending
from graph.budget import Place, Reserved, Spending, Spent
from graph.context import Context, LocalContext
from graph.errors import LimitReached, NotFound
from services.settings import load


async def reserve(url: str, times: int, tenant: str, usd: float, usd_a_day: float) -> int:
    """How many of `times` reservations made side by side the tenant's day had room for."""
    async with open_pool(url, max_size=6) as pool:
        spending = PostgresSpending(pool, usd_a_day=usd_a_day, tool_calls_a_day=1)

        async def one(number: int) -> int:
            place = Place(thread_id="", checkpoint_id="", node="n")
            try:
                await spending.reserve(Spent(cost_usd=usd), place, tenant=tenant)
            except LimitReached:
                return 0
            return 1

        return sum(await asyncio.gather(*map(one, range(times))))


@dataclasses.dataclass(kw_only=True)
class Telling:
    """Says when a call is reserved: from then on it is paid for."""

    real: Spending

    async def reserve(self, worst: Spent, place: Place, *, tenant: str) -> Reserved:
        reserved = await self.real.reserve(worst, place, tenant=tenant)
        _say("asked")
        return reserved

    async def before(self, place: Place) -> Spent:
        return await self.real.before(place)

    async def settle(
        self, actual: Sequence[tuple[Reserved, Spent]], place: Place, *, tenant: str, tool_calls: int = 0
    ) -> None:
        await self.real.settle(actual, place, tenant=tenant, tool_calls=tool_calls)


async def run(url: str, home: str, fields: dict[str, Any], *, anew: bool = False) -> dict[str, Any]:
    """The report of thread `t`, started with these context fields or resumed; `anew` makes another request on it."""
    async with opened(load(database_url=url, home=Path(home), openai_api_key=None)) as everything:
        telling = Telling(real=everything.services.spending)
        services = dataclasses.replace(everything.services, spending=telling)
        runs = Runs(opened=dataclasses.replace(everything, services=services), progress=lambda _node, _change: None)
        if not anew:
            with suppress(NotFound):
                return await runs.resume("t", context=Context())
        return await runs.start("go", thread_id="t", context=LocalContext(**fields))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    what: Any = {"reserve": reserve, "run": run}[sys.argv[1]]
    _say(json.dumps(asyncio.run(what(sys.argv[2], **json.loads(sys.argv[3]))), default=str))
