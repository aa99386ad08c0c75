"""What a tenant spends on a day holds over connections and processes, and through kills."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from app.report import EXIT_CODES
from checkpoints.database import Pool, open_pool
from checkpoints.spending import PostgresSpending
from graph.budget import Place, Reserved, Spent
from graph.errors import LimitReached
from tests.integration.conftest import LIST, READ, Script, calls, say
from tests.integration.recording import runs_with

PROGRAM = str(Path(__file__).with_name("spenders.py"))
DIME = Spent(prompt_tokens=100, completion_tokens=20, cost_usd=0.1)
PLACE = Place(thread_id="t", checkpoint_id="c1", node="reason")
STATELESS = Place(thread_id="", checkpoint_id="", node="reason")
CALL = {**calls(LIST), "usage": {"input_tokens": 100, "output_tokens": 0}}
PRICE = {"input_per_mtok": 1_000, "output_per_mtok": 0}
"""A dime for each CALL."""
FREE = {**say("done"), "usage": {"input_tokens": 0, "output_tokens": 0}}


async def _today(pool: Pool, tenant: str = "a") -> tuple[Any, int]:
    """Any: so that it compares with `pytest.approx`."""
    return await _spending(pool).today(tenant)


def _spending(pool: Pool, *, usd: float = 1.0, tool_calls: int = 20) -> PostgresSpending:
    return PostgresSpending(pool, usd_a_day=usd, tool_calls_a_day=tool_calls)


async def _reserve(
    spending: PostgresSpending,
    place: Place = STATELESS,
    *,
    worst: Spent = DIME,
    tenant: str = "a",
) -> Reserved:
    return await spending.reserve(worst, place, tenant=tenant)


async def _rows(pool: Pool, query: str = "SELECT * FROM reservations ORDER BY thread_id, node") -> list[Any]:
    async with pool.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_fifty_at_once_over_several_pools_never_pass_the_tenants_cap(pool: Pool, database_url: str) -> None:
    async with open_pool(database_url, max_size=5) as second, open_pool(database_url, max_size=5) as third:
        several = [_spending(one) for one in (pool, second, third)]

        ended = await asyncio.gather(*[_reserve(several[n % 3]) for n in range(50)], return_exceptions=True)

        refused = [one for one in ended if isinstance(one, LimitReached)]
        assert (len(ended) - len(refused), {one.outcome for one in refused}) == (10, {"stopped_cost"})
        assert await several[0].today("a") == (1.0, 0)
        assert "BALLAST_TENANT_USD_PER_DAY" in refused[0].why


async def test_fifty_at_once_never_pass_the_cap_on_tool_calls(pool: Pool, database_url: str) -> None:
    async with open_pool(database_url, max_size=5) as second:
        several = [_spending(one) for one in (pool, second)]

        ended = await asyncio.gather(
            *[several[n % 2].settle([], STATELESS, tenant="a", tool_calls=3) for n in range(50)], return_exceptions=True
        )

        refused = [one for one in ended if isinstance(one, LimitReached)]
        assert (len(ended) - len(refused), {one.outcome for one in refused}) == (6, {"stopped_tool_calls"})
        assert await several[0].today("a") == (0.0, 18)
        with pytest.raises(LimitReached, match="BALLAST_TENANT_TOOL_CALLS_PER_DAY"):
            await several[0].settle([], STATELESS, tenant="new", tool_calls=21)
        assert await several[0].today("new") == (0.0, 0)


async def test_real_processes_never_pass_the_tenants_cap_together(pool: Pool, database_url: str) -> None:
    told = json.dumps({"times": 50, "tenant": "a", "usd": 0.1, "usd_a_day": 3})
    both = [
        await asyncio.create_subprocess_exec(
            sys.executable, PROGRAM, "reserve", database_url, told, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]

    had_room = [json.loads((await one.communicate())[0]) for one in both]

    assert sum(had_room) == 30
    assert await _spending(pool).today("a") == (3.0, 0)


async def test_what_a_call_did_not_cost_is_given_back(pool: Pool) -> None:
    spending = _spending(pool)
    held = [await _reserve(spending) for _ in range(10)]
    with pytest.raises(LimitReached):
        await _reserve(spending)

    await spending.settle([(one, Spent(cost_usd=0.03)) for one in held], STATELESS, tenant="a")

    assert (await spending.today("a"))[0] == pytest.approx(0.3)
    for _ in range(7):
        await _reserve(spending)
    with pytest.raises(LimitReached):
        await _reserve(spending, worst=Spent(cost_usd=0.0000000001))


async def test_many_small_sums_meet_the_cap_exactly(pool: Pool) -> None:
    spending = _spending(pool, usd=0.3)

    held = [await _reserve(spending, worst=Spent(cost_usd=0.1)) for _ in range(3)]

    assert len(held) == 3
    assert (await spending.today("a"))[0] == 0.3


async def test_model_calls_are_settled_also_when_the_tool_calls_have_no_room(pool: Pool) -> None:
    spending = _spending(pool, tool_calls=2)
    held = await _reserve(spending, PLACE)

    with pytest.raises(LimitReached):
        await spending.settle([(held, Spent(cost_usd=0.01))], PLACE, tenant="a", tool_calls=3)

    assert await _today(pool) == (pytest.approx(0.01), 0)


async def test_a_call_is_charged_to_the_day_it_was_reserved_on(pool: Pool) -> None:
    """As when it ends after midnight, beside one that began after it."""
    spending = _spending(pool)
    held = await _reserve(spending, PLACE)
    async with pool.connection() as connection:
        await connection.execute("UPDATE tenant_usd SET day = day - 1")
    before_midnight = replace(held, day=held.day - timedelta(days=1))
    after_midnight = await _reserve(spending, PLACE, worst=Spent(cost_usd=0.5))

    both = [(before_midnight, Spent(cost_usd=0.04)), (after_midnight, Spent(cost_usd=0.3))]
    await spending.settle(both, PLACE, tenant="a", tool_calls=2)

    days = await _rows(pool, "SELECT usd FROM tenant_usd ORDER BY day")
    assert [float(day["usd"]) for day in days] == [0.04, 0.3]
    assert await spending.today("a") == (0.3, 2)


async def test_what_a_place_spent_before_is_told_and_places_passed_are_forgotten(pool: Pool) -> None:
    spending = _spending(pool, usd=10)
    first = await _reserve(spending, PLACE)
    second = await _reserve(spending, PLACE)
    await spending.settle([(second, Spent(prompt_tokens=7, cost_usd=0.02))], PLACE, tenant="a")
    other_thread = await _reserve(spending, replace(PLACE, thread_id="other"))
    other_node = await _reserve(spending, replace(PLACE, node="compress_history"))

    again = await _reserve(spending, PLACE)

    assert (first.before, second.before) == (Spent(calls=0), DIME)
    assert (other_thread.before, other_node.before) == (Spent(calls=0), Spent(calls=0))
    assert again.before == Spent(calls=2, prompt_tokens=107, completion_tokens=20, cost_usd=0.12)
    next_place = await _reserve(spending, replace(PLACE, checkpoint_id="c2"))
    assert next_place.before == Spent(calls=0)
    left = [(row["thread_id"], row["node"], row["checkpoint_id"], row["calls"]) for row in await _rows(pool)]
    assert left == [("other", "reason", "c1", 1), ("t", "compress_history", "c1", 1), ("t", "reason", "c2", 1)]


async def test_a_place_that_was_passed_is_not_settled_any_more(pool: Pool) -> None:
    """By a process that was taken over: its tenant gets back what the call did not cost."""
    spending = _spending(pool)
    late = await _reserve(spending, PLACE)
    await _reserve(spending, replace(PLACE, checkpoint_id="c2"))

    await spending.settle([(late, Spent(calls=0))], PLACE, tenant="a")

    assert (await spending.today("a"))[0] == pytest.approx(0.1)
    assert [row["usd"] for row in await _rows(pool)] == [Decimal("0.1")]


async def test_a_call_the_day_has_no_room_for_is_told_what_its_place_lost(pool: Pool) -> None:
    spending = _spending(pool, usd=0.15)
    await _reserve(spending, PLACE)

    with pytest.raises(LimitReached) as reached:
        await _reserve(spending, PLACE)

    assert reached.value.lost == DIME
    assert await _today(pool) == (pytest.approx(0.1), 0)


async def test_runs_without_a_thread_do_not_see_each_others_calls(pool: Pool) -> None:
    spending = _spending(pool)
    first = await _reserve(spending)

    second = await _reserve(spending)

    assert (first.before, second.before) == (Spent(calls=0), Spent(calls=0))
    assert await _rows(pool) == []
    both = [(first, Spent(cost_usd=0.01)), (second, Spent(cost_usd=0.01))]
    await spending.settle(both, STATELESS, tenant="a")
    assert (await spending.today("a"))[0] == pytest.approx(0.02)


TENANTS = [
    "'; DROP TABLE tenant_usd; --",
    '"a"',
    "%s %(tenant)s {}",
    "Ünïcode ☃ 🚀 字",
    "t" * 200,
    " ",
    "\u202eevil",
    "a\\",
]


async def test_a_tenants_name_is_only_ever_a_name(pool: Pool) -> None:
    spending = _spending(pool)

    for count, tenant in enumerate(TENANTS, start=1):
        held = await _reserve(spending, tenant=tenant)
        await spending.settle([(held, Spent(cost_usd=count / 100))], STATELESS, tenant=tenant, tool_calls=count)

    assert [await _today(pool, tenant) for tenant in TENANTS] == [
        (pytest.approx(count / 100), count) for count in range(1, len(TENANTS) + 1)
    ]
    assert await spending.today("nobody") == (0.0, 0)


@pytest.mark.parametrize(
    ("settings", "outcome", "usage"),
    [
        ({"tenant_usd_per_day": 0.35}, "stopped_cost", {"model_calls": 1}),
        ({"tenant_tool_calls_per_day": 3}, "stopped_tool_calls", {"tool_calls": 1}),
    ],
)
async def test_a_tenants_cap_ends_each_of_its_runs_typed_and_no_other_tenants(  # noqa: PLR0913, PLR0917 - fixtures
    database_url: str, tmp_path: Path, script: Script, settings: dict[str, Any], outcome: str, usage: dict[str, int]
) -> None:
    played = [CALL, CALL, FREE]
    async with runs_with(database_url, tmp_path / "home", **settings) as runs:
        for tenant, thread in (("mine", "first"), ("theirs", "third")):
            context = script(*played, lists={"price": PRICE}, tenant=tenant)
            assert (await runs.start("go", thread_id=thread, context=context))["outcome"] == "completed"

        context = script(*played, lists={"price": PRICE}, tenant="mine")
        report = await runs.start("go", thread_id="second", context=context)

    assert (report["outcome"], EXIT_CODES[report["outcome"]]) == (outcome, 4)
    assert {name: report["usage"][name] for name in usage} == usage
    assert "tenant mine" in report["answer"]
    assert "Done: list_files." in report["answer"]


async def test_a_run_without_a_thread_counts_for_its_tenant(
    database_url: str, tmp_path: Path, script: Script, pool: Pool
) -> None:
    async with runs_with(database_url, tmp_path / "home") as runs:
        context = script(CALL, say("done"), lists={"price": PRICE}, tenant="mine")
        stateless = runs.react.copy(update={"checkpointer": None})
        values = await stateless.ainvoke({"messages": [HumanMessage("go")]}, context=context)

    assert values["outcome"] == "completed"
    assert await _today(pool, "mine") == (pytest.approx(values["usage"]["cost_usd"]), 1)
    assert await _rows(pool) == []


async def test_reads_and_calls_are_counted_once_each(
    database_url: str, tmp_path: Path, script: Script, pool: Pool
) -> None:
    async with runs_with(database_url, tmp_path / "home") as runs:
        context = script(calls(READ, LIST), calls(("rocket", {}), LIST), say("done"), tenant="mine")
        report = await runs.start("go", thread_id="t", context=context)

    assert report["usage"]["tool_calls"] == 3
    assert await _spending(pool).today("mine") == (0.0, 3)
