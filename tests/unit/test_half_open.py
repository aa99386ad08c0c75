"""A breaker that may be probed: what ends as nothing asked, and what ends between a check and a claim."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from langchain_core.messages import HumanMessage
from purgatory import AsyncInMemoryUnitOfWork
from pydantic import SecretStr

from benchmarks.costs import Unlimited
from graph.budget import Place, Reserved, Spent
from graph.errors import LimitReached
from graph.models import Question
from services.breakers import Circuits, LocalClaims
from services.endpoints import Endpoints, endpoints_of
from services.models import ModelChain
from services.refusals import EndpointFailing
from services.settings import load
from tests.budgets import budget

HELLO = Question(messages=[HumanMessage("hello there")])
FAILURES = 3
MODEL = "openai:gpt-4.1"


class Down(Exception):
    """The endpoint does not answer."""


class Unreachable(Unlimited):
    """Spending whose database does not answer."""

    async def reserve(self, worst: Spent, place: Place, *, tenant: str) -> Reserved:
        del worst, place, tenant
        raise psycopg.OperationalError("the connection is lost")


class Interrupted(LocalClaims):
    """Claims before which something happens, once."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], Awaitable[None]] | None = None

    async def claim(self, name: str, lease_s: float) -> Callable[[], Awaitable[None]] | None:
        before, self.before = self.before, None
        if before:
            await before()
        return await super().claim(name, lease_s)


async def half_open(check: Callable[[str], Awaitable[None]], name: str) -> None:
    """Until the breaker may be probed: purgatory reads the machine's clock."""
    async with asyncio.timeout(20):
        while True:
            with suppress(EndpointFailing):
                return await check(name)
            await asyncio.sleep(0.005)


async def fail(asked: Endpoints, name: str, times: int) -> None:
    async def down() -> None:
        raise Down

    for _ in range(times):
        with pytest.raises(Down):
            await asked.call(name, down, retry=lambda _: True, attempts=1, within_s=5)


@pytest.mark.parametrize(
    ("spent", "raised"),
    [
        (budget(max_tokens=1), LimitReached),
        (budget(spending=Unreachable()), psycopg.OperationalError),
    ],
    ids=["no room in the budget", "the database is away"],
)
async def test_a_model_that_was_not_asked_stays_half_open(spent: Any, raised: type[Exception]) -> None:
    settings = load(openai_api_key=SecretStr("never sent"), breaker_failures=FAILURES, breaker_seconds=0.05)
    asked = endpoints_of(settings)
    chain = ModelChain(settings, asked)
    await fail(asked, MODEL, FAILURES)
    await half_open(asked._breakers.check, MODEL)

    with pytest.raises(raised):
        await chain.complete(MODEL, HELLO, budget=spent)
    await chain.aclose()

    await fail(asked, MODEL, 1)  # a closed breaker would take three
    with pytest.raises(EndpointFailing, match="not asked again before"):
        await asked._breakers.check(MODEL)


async def opened(claims: Interrupted) -> Circuits:
    """A breaker that is open and may be probed."""
    circuits = Circuits(AsyncInMemoryUnitOfWork(), claims, failures=1, seconds=0.05)
    await circuits.failed(await circuits.admit("x", 1), Down())
    await half_open(circuits.check, "x")
    return circuits


async def test_after_a_probe_that_answered_meanwhile_a_call_is_no_probe() -> None:
    claims = Interrupted()
    circuits = await opened(claims)

    async def answers() -> None:
        await circuits.succeeded(await circuits.admit("x", 1))

    claims.before = answers
    admission = await circuits.admit("x", 1)

    assert admission.release is None
    assert await claims.claim("x", 1), "the claim was given back"


async def test_after_a_probe_that_failed_meanwhile_a_call_is_refused() -> None:
    claims = Interrupted()
    circuits = await opened(claims)

    async def fails() -> None:
        await circuits.failed(await circuits.admit("x", 1), Down())

    claims.before = fails
    with pytest.raises(EndpointFailing, match="not asked again before"):
        await circuits.admit("x", 1)

    assert await claims.claim("x", 1), "the claim was given back"


async def test_a_store_that_fails_under_a_claim_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = Interrupted()
    circuits = await opened(claims)

    async def gone() -> None:
        def unanswered(_: str) -> Any:
            raise OSError("gone")

        monkeypatch.setattr(circuits._factory, "get_breaker", unanswered)

    claims.before = gone
    with pytest.raises(OSError, match="gone"):
        await circuits.admit("x", 1)

    assert await claims.claim("x", 1), "the claim was given back"


async def test_a_clock_that_is_set_back_keeps_no_breaker_open(monkeypatch: pytest.MonkeyPatch) -> None:
    circuits = Circuits(AsyncInMemoryUnitOfWork(), LocalClaims(), failures=1, seconds=30)
    await circuits.failed(await circuits.admit("x", 1), Down())
    with pytest.raises(EndpointFailing):
        await circuits.check("x")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86_400)

    await circuits.check("x")
    probe = await circuits.admit("x", 1)
    with pytest.raises(EndpointFailing, match="another call is trying it"):
        await circuits.admit("x", 1)
    await circuits.failed(probe, Down())

    with pytest.raises(EndpointFailing, match="not asked again before"):
        await circuits.admit("x", 1)
    monkeypatch.setattr(time, "time", lambda: now - 86_369)
    await circuits.succeeded(await circuits.admit("x", 1))
    await circuits.check("x")
