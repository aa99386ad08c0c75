"""Circuit breakers: an endpoint that keeps failing is left alone for a while, then asked by one call first.

Counting, states and their storage are purgatory's. Four things it lacks are added here. While half-open it lets
every caller through, so a claim admits one; in Redis the claim is a lock with an end, because the process that
probes may be killed. It counts a cancelled call as a failure; here a cancelled call says nothing. And in Redis it
judges a failure by the count read before it; here also by the count after it, or failures side by side would not
add up. Its time is the machine's, which another one may share through Redis; a clock that is set back keeps no breaker
open.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from purgatory import AsyncAbstractUnitOfWork, AsyncCircuitBreakerFactory, AsyncInMemoryUnitOfWork, AsyncRedisUnitOfWork
from purgatory.domain.model import CLOSED, OPENED, Context, HalfOpenedState, OpenedState

from services.refusals import EndpointFailing

if TYPE_CHECKING:
    from purgatory.service._async.circuitbreaker import AsyncCircuitBreaker

    from services.redis_link import RedisLink


class Claims(Protocol):
    """Who may probe."""

    async def claim(self, name: str, lease_s: float) -> Callable[[], Awaitable[None]] | None:
        """Be the one that probes `name`; returns how to give that back, or None while another one probes."""
        ...


class LocalClaims:
    """The probes of this process."""

    def __init__(self) -> None:
        self._claimed: set[str] = set()

    async def claim(self, name: str, lease_s: float) -> Callable[[], Awaitable[None]] | None:  # noqa: ARG002 - it ends with the process
        """See `Claims`."""
        if name in self._claimed:
            return None
        self._claimed.add(name)

        async def release() -> None:
            self._claimed.discard(name)

        return release


class RedisClaims:
    """The probes of all processes."""

    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis

    async def claim(self, name: str, lease_s: float) -> Callable[[], Awaitable[None]] | None:
        """See `Claims`. `lease_s` ends the claim of a process that was killed."""
        key = self._redis.key("probe", name)
        lock = self._redis.client.lock(key, timeout=lease_s, blocking=False, raise_on_release_error=False)
        return lock.release if await lock.acquire() else None


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A call that was let through, and which breaker wants to hear how it ended."""

    circuits: Circuits
    breaker: AsyncCircuitBreaker
    release: Callable[[], Awaitable[None]] | None
    """The call is a probe."""


class Circuits:
    """All breakers of one store: this process, or Redis."""

    def __init__(self, store: AsyncAbstractUnitOfWork, claims: Claims, *, failures: int, seconds: float) -> None:
        self._factory = AsyncCircuitBreakerFactory(default_threshold=failures, default_ttl=seconds, uow=store)
        self._claims, self._seconds = claims, seconds

    async def check(self, name: str) -> None:
        """Refuse what `admit` would refuse because of the time. Claims nothing."""
        self._refuse_early((await self._factory.get_breaker(name)).context)

    async def admit(self, name: str, lease_s: float) -> Admission:
        """Let a call through.

        Raises:
            EndpointFailing: the breaker is open, or half-open and probed by another call.
        """
        breaker = await self._factory.get_breaker(name)
        if breaker.context.state == CLOSED:
            return Admission(circuits=self, breaker=breaker, release=None)
        self._refuse_early(breaker.context)
        release = await self._claims.claim(name, max(lease_s, self._seconds))
        if release is None:
            raise EndpointFailing(name, None)
        try:
            breaker = await self._factory.get_breaker(name)  # a probe may have ended since
            if breaker.context.state == OPENED and self._set_back(breaker.context):
                breaker.context.set_state(HalfOpenedState())
            await breaker.__aenter__()
        except BaseException as error:
            await release()
            if isinstance(error, OpenedState):
                raise EndpointFailing(name, self._until(breaker.context)) from None
            raise
        if breaker.context.state == CLOSED:
            await release()
            release = None
        return Admission(circuits=self, breaker=breaker, release=release)

    async def succeeded(self, admission: Admission) -> None:
        """The endpoint answered."""
        await admission.breaker.__aexit__(None, None, None)
        if admission.release:
            await admission.release()

    async def failed(self, admission: Admission, error: Exception) -> None:
        """The endpoint failed, which counts."""
        breaker = admission.breaker
        await breaker.__aexit__(type(error), error, None)
        if admission.release:
            return await admission.release()
        # Calls that failed side by side each counted from what they read, the store added them all up.
        summed = await self._factory.get_breaker(breaker.context.name)
        if summed.context.state == CLOSED and (summed.context.failure_count or 0) >= summed.context.threshold:
            await summed.__aexit__(type(error), error, None)
        return None

    def _refuse_early(self, context: Context) -> None:
        if context.state != OPENED or self._set_back(context):
            return
        if time.time() <= self._until(context).timestamp():
            raise EndpointFailing(context.name, self._until(context))

    def _set_back(self, context: Context) -> bool:
        """Whether the clock was set back since the breaker opened: its time would not pass for as long as that."""
        return time.time() < (context.opened_at or 0.0) - self._seconds

    def _until(self, context: Context) -> datetime:
        return datetime.fromtimestamp((context.opened_at or 0.0) + self._seconds, UTC)


class Breakers:
    """Breakers in Redis while it answers, else those of this process."""

    def __init__(self, *, failures: int, seconds: float, redis: RedisLink | None = None) -> None:
        self._local = Circuits(AsyncInMemoryUnitOfWork(), LocalClaims(), failures=failures, seconds=seconds)
        self._redis, self._shared = redis, None
        if redis is not None:
            store = AsyncRedisUnitOfWork("redis://")  # makes a client of its own that never connects
            contexts: Any = store.contexts
            contexts.redis, contexts.prefix = redis.client, redis.key("breaker", "")
            self._shared = Circuits(store, RedisClaims(redis), failures=failures, seconds=seconds)

    async def check(self, name: str) -> None:
        """Refuse at once what is not to be asked now.

        Raises:
            EndpointFailing: see `Circuits.admit`.
        """
        if self._redis is not None and self._shared is not None and self._redis.usable:
            with self._redis.watched():
                return await self._shared.check(name)
        return await self._local.check(name)

    async def admit(self, name: str, lease_s: float) -> Admission:
        """Let a call through; `lease_s` is the longest it may take.

        Raises:
            EndpointFailing: see `Circuits.admit`.
        """
        if self._redis is not None and self._shared is not None and self._redis.usable:
            with self._redis.watched():
                return await self._shared.admit(name, lease_s)
        return await self._local.admit(name, lease_s)

    async def succeeded(self, admission: Admission) -> None:
        """The endpoint answered."""
        with self._watched(admission):
            await admission.circuits.succeeded(admission)

    async def failed(self, admission: Admission, error: Exception) -> None:
        """The endpoint failed, which counts."""
        with self._watched(admission):
            await admission.circuits.failed(admission, error)

    async def left(self, admission: Admission) -> None:
        """The call ended before the endpoint did: it says nothing of it, and another one may probe."""
        if admission.release is not None:
            with self._watched(admission):
                await admission.release()

    def _watched(self, admission: Admission) -> AbstractContextManager[None]:
        if self._redis is None or admission.circuits is self._local:
            return nullcontext()
        return self._redis.watched()
