"""Values used before, in real Postgres: what counts as new, for a policy's rules and a tool's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Json

from checkpoints.approval_statements import STATUS
from checkpoints.approvals import PostgresApprovals
from checkpoints.database import Pool
from checkpoints.ledger import Ledger
from checkpoints.seen import SEEN, Seen
from graph.approvals import Question
from graph.state import Call
from services.policy import Policy
from tests.integration.tools_bench import Bench, bench_on
from tools import office, tiers
from tools.base import tool

Build = Callable[..., Bench]
IBAN = "DE89 3704 0044 0532 0130 00"
BILL: dict[str, Any] = {"payee": "Lumen Ltd", "iban": IBAN, "amount": "120.50", "reference": "INV-7"}
NEW_PAYEE = {"tools": {"pay_invoice": {"raise": [{"argument": "iban", "new": True, "risk": "critical"}]}}}
INSERT = """
INSERT INTO effects (key, thread_id, tool, args, state, holder) SELECT 'k' || %s, 't', 'pay_invoice', %s, %s, 'h'
"""


@pytest.fixture
def bench(pool: Pool, tmp_path: Path) -> Bench:
    return bench_on(pool, tmp_path / "office")


@pytest.fixture
def seen(pool: Pool) -> Seen:
    return Seen(Ledger(pool).connection)


async def _recorded(pool: Pool, args: dict[str, Any], state: str = "done") -> None:
    async with pool.connection() as connection:
        await connection.execute(INSERT, (str(args), Json(args), state))


async def _tier(bench: Bench, **changed: Any) -> tuple[str, str]:
    assessed = await bench.executor.assess("pay_invoice", {**BILL, **changed})
    return assessed.risk, assessed.reason


async def test_a_first_payment_says_so_and_a_later_one_to_the_account_however_it_is_written_does_not(
    bench: Bench,
) -> None:
    assert await _tier(bench) == ("high", "pays money to someone; first payment to this account")

    await bench.said("pay_invoice", **BILL)

    for written in (IBAN, IBAN.replace(" ", ""), IBAN.lower(), IBAN.replace(" ", "\u00a0"), f"\t{IBAN}\n"):
        assert await _tier(bench, iban=written, amount=1, payee="L.") == ("high", "pays money to someone")
    assert (await _tier(bench, iban="GB82 WEST 1234 5698 7654 32"))[1].endswith("first payment to this account")


async def test_a_payment_that_failed_makes_no_account_known(bench: Bench) -> None:
    wrong = "DE00 3704 0044 0532 0130 00"
    await bench.refusal("pay_invoice", **{**BILL, "iban": wrong})

    assert (await _tier(bench, iban=wrong))[1].endswith("first payment to this account")


async def test_a_policys_rule_on_new_values_is_met_until_one_was_done(pool: Pool, tmp_path: Path) -> None:
    bench = bench_on(pool, tmp_path / "office", box=office.toolbox(Policy.model_validate(NEW_PAYEE)))

    assert await _tier(bench) == ("critical", "iban was never used before")
    await bench_on(pool, tmp_path / "office").said("pay_invoice", thread="another", **BILL)
    assert await _tier(bench) == ("high", "pays money to someone")


@pytest.mark.parametrize("state", ["done", "reserved", "failed", "unknown"])
async def test_only_what_was_done_was_seen(pool: Pool, seen: Seen, state: str) -> None:
    await _recorded(pool, {"iban": "DE1"}, state)

    assert await seen.seen("pay_invoice", "iban", "DE1") is (state == "done")


@tool(risk="medium", untrusted_output=False, idempotent=False)
async def act(value: Any) -> str:
    """Act."""
    return str(value == 1)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("Ann@Example.com", "ann@example.com"),
        ("Lumen Ltd", "lumenltd"),
        ("Grüße 🙂", "grüße🙂"),
        ("", ""),
        ("a\0b", "a\0b"),
        ("\ud800", "\ud800"),
        (7, 7),
        (120.5, 120.5),
        (True, True),
        (["a", "b"], ["a", "b"]),
        ({"x": 1}, {"x": 1}),
        ("x" * 500, "x" * 500),
    ],
)
async def test_spaces_and_letter_case_do_not_matter(build: Build, seen: Seen, stored: Any, asked: Any) -> None:
    await build(act).said("act", value=stored)

    assert await seen.seen("act", "value", asked)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (7, 8),
        (["a", "b"], ["b", "a"]),
        (["a", "b"], ["a"]),
        ("DE1", "DE12"),
        ("Straße", "Strasse"),
        (None, "x"),
        ("x" * 501, "x" * 501),  # too long to be looked up: new each time
    ],
)
async def test_another_value_was_not_seen(build: Build, seen: Seen, stored: Any, asked: Any) -> None:
    await build(act).said("act", value=stored)

    assert not await seen.seen("act", "value", asked)


async def test_another_tools_or_arguments_value_was_not_seen(pool: Pool, seen: Seen) -> None:
    await _recorded(pool, {"iban": "DE1", "payee": "ann", "x": "iban DE1"})

    assert await seen.seen("pay_invoice", "payee", "Ann")
    assert not await seen.seen("pay_invoice", "payee", "DE1")
    assert not await seen.seen("place_order", "iban", "DE1")
    assert not await seen.seen("pay", "invoice iban", "DE1")
    assert not await seen.seen("pay_invoice", "reference", "DE1")


def _call(**args: Any) -> Call:
    return Call(id="c1", name="pay_invoice", args=args, risk="critical", reason="never paid before", status="ask")


@pytest.mark.parametrize("kind", ["done", "reject", "respond", "cancel"])
@pytest.mark.parametrize(
    "payee", ["Lumen Ltd", "\0"]
)  # JSON with a NUL has no digest, and is decided about all the same
async def test_what_a_person_reports_to_have_done_was_done(pool: Pool, seen: Seen, kind: str, payee: str) -> None:
    approvals = PostgresApprovals(pool)
    question = Question(thread_id="t", checkpoint_id="c", interrupt_id="i", turn="m", window_s=300)
    [row] = await approvals.ask([_call(iban=IBAN, payee=payee)], question)
    assert not await seen.seen("pay_invoice", "iban", IBAN)

    decided = await approvals.decide(row.id, {"type": kind}, by="ann")

    assert decided.status == STATUS[kind]
    assert await seen.seen("pay_invoice", "iban", IBAN) is (kind == "done" and payee == "Lumen Ltd")


async def test_a_lookup_that_the_database_keeps_waiting_makes_the_call_critical(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "LOOKUP_S", 0.2)
    async with bench.pool.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE effects IN ACCESS EXCLUSIVE MODE")
        tier = await _tier(bench)

    assert tier == ("critical", "its risk could not be told (no answer within 0.2 s)")
    assert (await _tier(bench))[0] == "high"


async def test_a_lookup_that_the_database_refuses_makes_the_call_critical(pool: Pool, tmp_path: Path) -> None:
    bench = bench_on(pool, tmp_path / "office", box=office.toolbox(Policy.model_validate(NEW_PAYEE)))
    async with pool.connection() as connection:
        await connection.execute("ALTER FUNCTION argument_digests RENAME TO gone")

    risk, reason = await _tier(bench)
    assert risk == "critical"
    assert reason.split("; ") == [
        "its risk could not be told (UndefinedFunction)",
        "the policy's rule on iban can't be checked: it could not be looked up (UndefinedFunction)",
    ]


async def test_many_lookups_at_once_leave_the_pool_as_it_was(bench: Bench) -> None:
    assessed = await asyncio.gather(*(_tier(bench, iban=f"DE{number}") for number in range(100)))

    assert {risk for risk, _ in assessed} == {"high"}


async def test_a_lookup_among_many_effects_uses_the_index(pool: Pool) -> None:
    wanted = {"tool": "pay_invoice", "argument": "iban", "value": Json("nobody's")}
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO effects (key, thread_id, tool, args, state, holder) SELECT 'k' || n, 't', 'pay_invoice', "
            "json_build_object('payee', 'p' || n, 'iban', 'DE' || n), 'done', 'h' FROM generate_series(1, 3000) n"
        )
        for statement in ("SELECT 1", "ANALYZE effects"):  # without and with what the planner may know
            await connection.execute(statement.encode())
            plan = await (await connection.execute(f"EXPLAIN {SEEN}".encode(), wanted)).fetchall()
            lines = [row["QUERY PLAN"] for row in plan]
            assert any("effects_seen" in line for line in lines), lines
