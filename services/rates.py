"""Token buckets: how often an endpoint may be asked.

The policy and both stores are pyrate-limiter's. Its `Limiter` is not used: it starts a thread, holds one lock
while it waits, and can't tell that a wait will be too long before having waited. Its Postgres bucket is not
used either: it wants a synchronous pool, so every call would block the event loop, and it refuses a caller that
meets another one's table lock. Without Redis the buckets are therefore this process's own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING

from pyrate_limiter import Decision, InMemoryStateStore, Rate, RedisStateStore, StateStore, TokenBucket

from services.refusals import RateLimited

if TYPE_CHECKING:
    from services.redis_link import RedisLink

MIN_SECONDS, MAX_SECONDS = 0.001, 86_400.0
MAX_CALLS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """`calls` at once from a full bucket, which refills at `calls` per `seconds`."""

    calls: int
    seconds: float


def parse_rates(text: str) -> dict[str, RateLimit]:
    """Read `NAME=calls/seconds,...`.

    Raises:
        ValueError: a part that does not read so, or a figure out of bounds.
    """
    limits: dict[str, RateLimit] = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, _, figures = part.rpartition("=")
        calls, _, seconds = figures.partition("/")
        try:
            limit = RateLimit(calls=int(calls), seconds=float(seconds))
        except ValueError:
            limit = RateLimit(calls=0, seconds=math.nan)
        if not name.strip() or not 1 <= limit.calls <= MAX_CALLS or not MIN_SECONDS <= limit.seconds <= MAX_SECONDS:
            raise ValueError(
                f"NAME=calls/seconds,... with 1 to {MAX_CALLS} calls in {MIN_SECONDS} to {MAX_SECONDS:.0f} seconds, "
                f"not {part!r}"
            )
        limits[name.strip()] = limit
    return limits


class Rates:
    """The buckets of all endpoints that have a limit."""

    def __init__(
        self,
        limits: Mapping[str, RateLimit],
        *,
        redis: RedisLink | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rates = {name: [Rate(one.calls, max(1, round(one.seconds * 1000)))] for name, one in limits.items()}
        self._redis, self._sleep, self._monotonic = redis, sleep, monotonic
        self._policy = TokenBucket()
        self._local: dict[str, StateStore] = {name: InMemoryStateStore() for name in self._rates}
        self._shared: dict[str, StateStore] = {}
        if redis is not None:
            self._shared = {name: RedisStateStore(redis.client, redis.key("rate", name)) for name in self._rates}

    def limits(self, name: str) -> bool:
        """Whether `name` has a limit."""
        return name in self._rates

    async def wait(self, name: str, within_s: float) -> None:
        """Take a token of `name`, waiting for one if need be.

        Raises:
            RateLimited: there is none within `within_s` seconds; told as soon as it is known.
        """
        ends = self._monotonic() + within_s
        while not (decision := await self._ask(name)).allowed:
            wait_s = (decision.retry_after_ms or 0) / 1000
            if self._monotonic() + wait_s > ends:
                raise RateLimited(name, within_s)
            await self._sleep(wait_s)

    async def _ask(self, name: str) -> Decision:
        if self._redis is not None and self._redis.usable:
            shared = self._shared[name]
            with self._redis.watched():
                return await _decided(shared, self._policy, self._rates[name], time.time_ns() // 1_000_000)
        return await _decided(self._local[name], self._policy, self._rates[name], int(self._monotonic() * 1000))


async def _decided(store: StateStore, policy: TokenBucket, rates: list[Rate], now_ms: int) -> Decision:
    decision = store.check(policy, rates, now_ms, 1)
    return await decision if isawaitable(decision) else decision
