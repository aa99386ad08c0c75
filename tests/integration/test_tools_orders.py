"""Orders and payments: rows that commit with their ledger row; and the tools only people may carry out."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from checkpoints.database import Pool
from graph.errors import ToolFailed
from tests.integration.tools_bench import Bench, bench_on
from tools.orders import one_row

LAMPS: dict[str, Any] = {"item": "Desk lamp", "quantity": 2, "unit_price": 38.25}
BILL: dict[str, Any] = {
    "payee": "Lumen Ltd", "iban": "de89 3704 0044 0532 0130 00", "amount": "120.50", "reference": "INV-7",
}  # fmt: skip


@pytest.fixture
def bench(pool: Pool, tmp_path: Path) -> Bench:
    return bench_on(pool, tmp_path / "office")


async def test_an_order_is_a_row_under_the_effects_key_and_can_be_looked_up(bench: Bench) -> None:
    assert await bench.said("place_order", **LAMPS) == "order ORD-000001 placed: 2 x Desk lamp at 38.25 = 76.50 USD"

    [order], [effect] = await bench.rows("orders"), await bench.ledger.of_thread("t")
    assert (order["quantity"], order["unit_price"]) == (2, Decimal("38.25"))
    assert (order["thread_id"], order["idempotency_key"]) == ("t", effect["key"])
    assert (effect["state"], effect["args"]) == ("done", LAMPS)
    for name in ("ORD-000001", " 1 ", "0001"):
        assert (await bench.said("get_order", id=name)).startswith("ORD-000001: 2 x Desk lamp at 38.25 = 76.50 USD, ")


async def test_a_payment_is_a_row_with_the_plain_iban(bench: Bench) -> None:
    assert await bench.said("pay_invoice", **BILL) == "payment PAY-000001 of 120.50 USD to Lumen Ltd recorded"

    [payment] = await bench.rows("payments")
    assert (payment["iban"], payment["amount"]) == ("DE89370400440532013000", Decimal("120.50"))


async def test_the_same_intent_places_one_order_and_the_next_occurrence_another(bench: Bench) -> None:
    first = await bench.run("place_order", **LAMPS)
    again = await bench.run("place_order", quantity="2", unit_price=38.250, item="Desk lamp")
    await bench.run("place_order", **LAMPS, occurrence=1)
    await bench.run("place_order", **LAMPS, thread="u")

    assert (again.text, again.reused, first.reused) == (first.text, True, False)
    assert [row["thread_id"] for row in await bench.rows("orders")] == ["t", "t", "u"]


@pytest.mark.parametrize("iban", ["", "DE89370400440532013001", "DE", "ZZ89370400440532013000", "\0", "1' OR '1'='1"])
async def test_a_bad_iban_pays_nothing_and_leaves_no_doubt(bench: Bench, iban: str) -> None:
    assert "is no valid IBAN" in await bench.refusal("pay_invoice", **{**BILL, "iban": iban})
    assert await bench.rows("payments") == []
    assert await bench.states() == ["failed"]


@pytest.mark.parametrize(
    ("tool", "args", "table"),
    [
        ("place_order", {**LAMPS, "item": "lamp\0"}, "orders"),
        ("pay_invoice", {**BILL, "payee": "x\0"}, "payments"),
    ],
)
async def test_a_write_the_database_refuses_is_rolled_back_and_recorded_as_failed(
    bench: Bench, tool: str, args: dict[str, Any], table: str
) -> None:
    assert await bench.refusal(tool, **args)
    assert await bench.rows(table) == []
    assert await bench.states() == ["failed"]


async def test_an_order_and_its_ledger_row_commit_together_or_not_at_all(bench: Bench) -> None:
    async with bench.pool.connection() as connection:
        await connection.execute(
            "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'crash'; END $$"
        )
        await connection.execute(
            "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON effects DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION crash()"
        )

    with pytest.raises(Exception, match="crash"):
        await bench.run("place_order", **LAMPS)
    assert (await bench.rows("orders"), await bench.states()) == ([], [])

    async with bench.pool.connection() as connection:
        await connection.execute("DROP TRIGGER late ON effects")
    await bench.said("place_order", **LAMPS)
    assert (len(await bench.rows("orders")), await bench.states()) == (1, ["done"])


@pytest.mark.parametrize(
    ("tool", "args", "field"),
    [
        ("place_order", {**LAMPS, "quantity": 0}, "quantity"),
        ("place_order", {**LAMPS, "quantity": 10_001}, "quantity"),
        ("place_order", {**LAMPS, "quantity": 1.5}, "quantity"),
        ("place_order", {**LAMPS, "unit_price": -1}, "unit_price"),
        ("place_order", {**LAMPS, "unit_price": 0.001}, "unit_price"),
        ("place_order", {**LAMPS, "unit_price": float("nan")}, "unit_price"),
        ("place_order", {**LAMPS, "unit_price": float("inf")}, "unit_price"),
        ("place_order", {**LAMPS, "item": ""}, "item"),
        ("pay_invoice", {**BILL, "amount": 0}, "amount"),
        ("pay_invoice", {**BILL, "amount": "1e9"}, "amount"),
        ("pay_invoice", {**BILL, "reference": "x" * 141}, "reference"),
    ],
)
async def test_arguments_out_of_bounds_do_not_fit(bench: Bench, tool: str, args: dict[str, Any], field: str) -> None:
    assert f"do not fit {tool}: {field}" in ((await bench.executor.assess(tool, args)).error or "")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ORD-000404", "there is no order ORD-000404"),
        ("999999999999999", "there is no order"),
        ("9" * 16, "is no order number"),
        ("", "is no order number"),
        ("ORD-1; DROP TABLE orders", "is no order number"),
        ("\0", "is no order number"),
        ("²", "is no order number"),
    ],
)
async def test_an_unknown_order_is_told_apart_from_a_bad_number(bench: Bench, name: str, said: str) -> None:
    assert said in await bench.refusal("get_order", id=name)


def test_an_insert_that_returns_nothing_is_a_failure() -> None:
    with pytest.raises(ToolFailed, match="stored nothing"):
        one_row(None)


@pytest.mark.parametrize(
    ("tool", "args", "said"),
    [
        ("delete_records", {"table": "suppliers", "ids": [104, "105"]}, "a person deletes records (2 of suppliers)"),
        ("send_bulk_email", {"to": ["a@b.c"] * 3, "subject": "x", "body": "y"}, "bulk mail (to 3 addresses)"),
    ],
)
async def test_what_only_people_may_do_is_critical_and_never_done(
    bench: Bench, tool: str, args: dict[str, Any], said: str
) -> None:
    assert (await bench.executor.assess(tool, args)).risk == "critical"
    assert said in await bench.refusal(tool, **args)
    assert await bench.states() == ["failed"]
    assert [*bench.workspace.iterdir()] == []
