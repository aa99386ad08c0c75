"""Accounts of calls whose process, connection or claim was lost on the way."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from checkpoints.database import Pool, open_pool
from checkpoints.locks import ThreadLocks
from graph.budget import Spent
from graph.errors import ThreadTaken
from tests.integration.lost_answers import losing_answers
from tests.integration.test_spending import DIME, PLACE, _reserve, _rows, _spending, _today


async def test_what_a_call_did_not_cost_is_given_back_once_also_when_postgres_answer_is_lost(
    pool: Pool, database_url: str
) -> None:
    async with losing_answers(database_url) as proxy, open_pool(proxy.url, max_size=1) as cut_off:
        spending = _spending(cut_off)
        whole, held = await _reserve(spending, PLACE), await _reserve(spending, PLACE)
        await spending.settle([(whole, DIME)], PLACE, tenant="a")  # prepares the statement: the next answer is its own

        proxy.lose_next = True
        await spending.settle([(held, Spent(calls=0))], PLACE, tenant="a")

        assert proxy.lost == 1
    assert await _today(pool) == (pytest.approx(0.1), 0)
    assert [row["usd"] for row in await _rows(pool)] == [Decimal("0.1")]


@pytest.mark.parametrize("what", ["lose_question", "lose_next"])
async def test_what_a_call_cost_beyond_its_worst_is_charged_also_when_the_connection_is_lost(
    pool: Pool, database_url: str, what: str
) -> None:
    """Once when it never arrived; twice when only the answer did not: never too little."""
    async with losing_answers(database_url) as proxy, open_pool(proxy.url, max_size=1) as cut_off:
        spending = _spending(cut_off)
        first, held = await _reserve(spending, PLACE), await _reserve(spending, PLACE)
        await spending.settle([(first, DIME)], PLACE, tenant="a")

        setattr(proxy, what, True)
        await spending.settle([(held, Spent(prompt_tokens=400, completion_tokens=2, cost_usd=0.3))], PLACE, tenant="a")

        assert proxy.lost == 1
    often = 1 if what == "lose_question" else 2
    assert await _today(pool) == (pytest.approx(0.2 + often * 0.2), 0)
    [row] = await _rows(pool)
    assert (row["calls"], row["prompt_tokens"]) == (2, 200 + often * 300)


async def test_a_run_that_was_taken_over_reserves_nothing_in_its_successors_place(
    pool: Pool, database_url: str
) -> None:
    spending = _spending(pool)
    async with ThreadLocks.open(database_url) as locks:
        async with locks.hold("t") as claim:
            late = replace(PLACE, claim=claim)
            await _reserve(spending, late)
        async with locks.hold("t") as claim:
            successor = replace(PLACE, checkpoint_id="c2", claim=claim)
            await _reserve(spending, successor)

            with pytest.raises(ThreadTaken):
                await _reserve(spending, late)

            again = await _reserve(spending, successor)
    assert again.before == DIME
    assert await _today(pool) == (pytest.approx(0.3), 0)
