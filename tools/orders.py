"""Orders and payments: rows in our own Postgres, written in the ledger's transaction."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from graph.errors import ToolFailed
from graph.state import Risk
from tools.base import Injected, RiskContext, tool

Money = Annotated[Decimal, Field(ge=0, le=10_000_000, max_digits=12, decimal_places=2)]

PLACE = """
INSERT INTO orders (thread_id, idempotency_key, item, quantity, unit_price) VALUES (%s, %s, %s, %s, %s)
RETURNING id, quantity * unit_price AS total
"""
PAY = """
INSERT INTO payments (thread_id, idempotency_key, payee, iban, amount, reference) VALUES (%s, %s, %s, %s, %s, %s)
RETURNING id
"""
FIND = "SELECT id, item, quantity, unit_price, quantity * unit_price AS total, created_at FROM orders WHERE id = %s"


def one_row(row: dict[str, Any] | None) -> dict[str, Any]:
    """The row an INSERT returned."""
    if row is None:
        raise ToolFailed("the database stored nothing")
    return row


@tool(
    risk="high",
    untrusted_output=False,
    idempotent=False,
    transactional=True,
    reason="spends money on an order",
)
async def place_order(
    item: Annotated[str, Field(min_length=1, max_length=200)],
    quantity: Annotated[int, Field(ge=1, le=10_000)],
    unit_price: Money,
    context: Injected,
) -> str:
    """Order something from a supplier.

    Args:
        item: What to order, as the catalogue names it.
        quantity: How many.
        unit_price: Price of one, in USD.
    """
    async with context.database() as connection:
        cursor = await connection.execute(
            PLACE, (context.thread_id, context.idempotency_key, item, quantity, Decimal(str(unit_price)))
        )
        row = one_row(await cursor.fetchone())
    return f"order ORD-{row['id']:06} placed: {quantity} x {item} at {unit_price:.2f} = {row['total']} USD"


async def _first_payment(iban: str, context: RiskContext, **_others: object) -> tuple[Risk, str] | None:
    return None if await context.seen("iban", iban) else ("high", "first payment to this account")


@tool(
    risk="high",
    untrusted_output=False,
    idempotent=False,
    transactional=True,
    reason="pays money to someone",
    raise_risk=_first_payment,
)
async def pay_invoice(
    payee: Annotated[str, Field(min_length=1, max_length=200)],
    iban: Annotated[str, Field(max_length=50)],
    amount: Annotated[Decimal, Field(gt=0, le=10_000_000, max_digits=12, decimal_places=2)],
    reference: Annotated[str, Field(max_length=140)],
    context: Injected,
) -> str:
    """Pay an invoice by bank transfer.

    Args:
        payee: Who is paid.
        iban: The payee's account.
        amount: How much, in USD.
        reference: What it is for.
    """
    try:
        account = (await asyncio.to_thread(IBAN, iban)).compact  # it reads its registry from files
    except SchwiftyException as error:
        raise ToolFailed(f"{iban!r} is no valid IBAN: {error}") from None
    async with context.database() as connection:
        cursor = await connection.execute(
            PAY,
            (context.thread_id, context.idempotency_key, payee, account, Decimal(str(amount)), reference),
        )
        row = one_row(await cursor.fetchone())
    return f"payment PAY-{row['id']:06} of {amount:.2f} USD to {payee} recorded"


@tool(risk="low", untrusted_output=False, idempotent=True)
async def get_order(id: str, context: Injected) -> str:  # noqa: A002 - the contract's name for it
    """Look up an order.

    Args:
        id: The order number, such as ORD-000012.
    """
    number = re.fullmatch(r"(?:ORD-)?0*(\d{1,15})", id.strip())
    if number is None:
        raise ToolFailed(f"{id!r} is no order number: they look like ORD-000012")
    async with context.database() as connection:
        row = await (await connection.execute(FIND, (int(number[1]),))).fetchone()
    if row is None:
        raise ToolFailed(f"there is no order {id}")
    return (
        f"ORD-{row['id']:06}: {row['quantity']} x {row['item']} at {row['unit_price']} = {row['total']} USD, "
        f"placed {row['created_at']:%Y-%m-%d}"
    )
