"""Each call to a model endpoint or a tool: its rate limit, its breaker, and retries with a jittered backoff.

Retries are tenacity's, the engine of stamina. stamina itself can only stop after its time is over: it would sleep
past the caller's, and its sleep can't be replaced.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from tenacity import AsyncRetrying, RetryCallState, stop_after_attempt, stop_before_delay, wait_random_exponential

from graph.errors import BadSetting
from services.breakers import Breakers
from services.rates import RateLimit, Rates
from services.refusals import NeverStarted
from services.settings import Settings

if TYPE_CHECKING:
    from services.redis_link import RedisLink

T = TypeVar("T")

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
LONGEST_RETRY_AFTER_S = 60.0
"""An endpoint that wants a longer pause is not waited for: coming back earlier would be refused again."""
JITTER = 0.1
"""Part of a Retry-After that is added at random, so that many callers do not come back in the same moment."""


class Endpoints:
    """Asks endpoints by name: a member of a model chain such as `openai:gpt-4.1`, or `tool:send_email`."""

    def __init__(
        self, *, breakers: Breakers, rates: Rates, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._breakers, self._rates, self._sleep = breakers, rates, sleep
        self._backoff = wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S, min=FIRST_WAIT_S / 2)

    async def call(  # noqa: PLR0913 - of those after `retry` all but one have a default
        self,
        name: str,
        once: Callable[[], Awaitable[T]],
        *,
        retry: Callable[[Exception], bool | float],
        within_s: float,
        takes_s: float = math.inf,
        attempts: int = 3,
        counts: Callable[[Exception], bool | None] | None = None,
    ) -> T:
        """What `once` returns, asked up to `attempts` times.

        `retry` says of an error whether to ask again: no, yes after a backoff, or after so many seconds.
        No wait lasts beyond `within_s` seconds from now; how long `once` takes is its own affair. `takes_s` is the
        longest it may: a process that is killed while it probes keeps others from it for no longer than that.
        `counts` says which errors speak against the endpoint, and which for it: it answered. None of an error
        says nothing of it, since it was not asked. Left out, those that `retry` would retry speak against it.

        Raises:
            Exception: the last error of `once`.
            NeverStarted: RateLimited or EndpointFailing, and `once` was not called at all. Refused after an
                attempt, that attempt's error is raised instead, for something may have happened.
        """
        judge = _Judge(retry, counts, takes_s)
        ends = time.monotonic() + within_s
        try:
            return await self._once(name, once, judge, within_s)
        except NeverStarted:
            raise
        except Exception as error:
            if attempts <= 1 or judge.again(error) is False:
                raise
            last: Exception = error
        first = True

        async def attempt() -> T:
            nonlocal first, last
            if first:
                first = False
                raise last
            try:
                return await self._once(name, once, judge, max(0.0, ends - time.monotonic()))
            except NeverStarted:
                raise _Refused from None
            except Exception as error:
                last = error
                raise

        # Built only now: it costs more than all else a call needs.
        retrying = AsyncRetrying(
            sleep=self._sleep,
            stop=stop_after_attempt(attempts) | stop_before_delay(max(0.0, ends - time.monotonic())),
            wait=lambda state: self._wait_s(state, judge),
            retry=lambda state: judge.again(_error(state)) is not False,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except _Refused:
            raise last from None

    async def _once(self, name: str, once: Callable[[], Awaitable[T]], judge: _Judge, within_s: float) -> T:
        if self._rates.limits(name):
            await self._breakers.check(name)  # no token, and no wait for one, when it would be refused anyway
            await self._rates.wait(name, within_s)
        admission = await self._breakers.admit(name, min(within_s, judge.takes_s))
        try:
            answer = await once()
        except Exception as error:
            against = judge.counts(error)
            if against is None:
                await self._breakers.left(admission)
            elif against:
                await self._breakers.failed(admission, error)
            else:
                await self._breakers.succeeded(admission)
            raise
        except BaseException:
            await self._breakers.left(admission)
            raise
        await self._breakers.succeeded(admission)
        return answer

    def _wait_s(self, state: RetryCallState, judge: _Judge) -> float:
        again = judge.again(_error(state))
        if again is True:
            return self._backoff(state)
        return again * (1 + random.uniform(0, JITTER))  # noqa: S311 - no secret


class _Refused(Exception):
    """A further attempt was not let through."""


class _Judge:
    """The caller's view of an error, asked once for each, and of the time a call takes."""

    def __init__(
        self,
        retry: Callable[[Exception], bool | float],
        counts: Callable[[Exception], bool | None] | None,
        takes_s: float,
    ) -> None:
        self._retry, self._counts, self.takes_s = retry, counts, takes_s
        self._judged: tuple[Exception | None, bool | float] = (None, False)

    def again(self, error: Exception | None) -> bool | float:
        """False, True, or the seconds to wait."""
        if error is None or isinstance(error, _Refused):
            return False
        told = self._told(error)
        return told if isinstance(told, bool) or 0 <= told <= LONGEST_RETRY_AFTER_S else False

    def counts(self, error: Exception) -> bool | None:
        """Whether it speaks against the endpoint; None: it says nothing of it."""
        return self._told(error) is not False if self._counts is None else self._counts(error)

    def _told(self, error: Exception) -> bool | float:
        if self._judged[0] is not error:
            self._judged = (error, self._retry(error))
        return self._judged[1]


def _error(state: RetryCallState) -> Exception | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, Exception) else None


@asynccontextmanager
async def open_endpoints(
    settings: Settings,
    *,
    rates: Mapping[str, RateLimit] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Endpoints]:
    """Endpoints as the settings say; `rates` are those that tools declare, which BALLAST_RATES overrules.

    Raises:
        BadSetting: Redis is set, and its client is not installed, its address is no good or nothing answers there.
    """
    async with AsyncExitStack() as stack:
        redis = None
        if settings.redis_url:
            try:
                from services.redis_link import open_redis  # noqa: PLC0415 - an extra: only when it is set
            except ImportError:
                raise BadSetting("BALLAST_REDIS_URL needs the extra redis: pip install 'ballast[redis]'") from None
            redis = await stack.enter_async_context(open_redis(settings.redis_url))
        yield endpoints_of(settings, rates=rates, redis=redis, sleep=sleep)


def endpoints_of(
    settings: Settings,
    *,
    rates: Mapping[str, RateLimit] | None = None,
    redis: RedisLink | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Endpoints:
    """Endpoints over this process alone, or over a Redis that is open."""
    return Endpoints(
        breakers=Breakers(failures=settings.breaker_failures, seconds=settings.breaker_seconds, redis=redis),
        rates=Rates({**(rates or {}), **settings.rates}, redis=redis, sleep=sleep),
        sleep=sleep,
    )
