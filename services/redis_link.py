"""Redis, where the processes of one deployment share breakers and rate limits, for as long as it answers."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from graph.errors import BadSetting
from services.settings import REDIS_FORM

PREFIX = "ballast"
ANSWER_S = 1.0
"""Longest one answer is waited for."""
PAUSE_S = 10.0
"""After a failure, how long this process goes on by itself before it asks again."""

UNREADABLE = f"BALLAST_REDIS_URL must be {REDIS_FORM}; the client does not take its options or its host"
UNFIT = (ValueError, TypeError, AttributeError)
"""What the client raises, when it connects, for an option it does not know or a host that is no name."""

_log = logging.getLogger(__name__)


class RedisLink:
    """A client, and whether it is worth asking. A failure is logged once, and so is the recovery."""

    def __init__(self, client: Redis, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._monotonic = monotonic
        self._down_until: float | None = None

    @property
    def usable(self) -> bool:
        """Whether to ask it now."""
        return self._down_until is None or self._monotonic() >= self._down_until

    def key(self, kind: str, name: str) -> str:
        """The key of one endpoint's state."""
        return f"{PREFIX}:{kind}:{name}"

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Swallow a failure of Redis, remember it, and leave the block: what follows is the local way."""
        try:
            yield
        except (RedisError, OSError) as error:
            if self._down_until is None:
                _log.warning("Redis failed (%s): breakers and rate limits are kept in this process for now", error)
            self._down_until = self._monotonic() + PAUSE_S
        else:
            self._answered()

    def _answered(self) -> None:
        if self._down_until is not None:
            self._down_until = None
            _log.warning("Redis answers again: breakers and rate limits are shared")


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisLink]:
    """Connect.

    Raises:
        BadSetting: nothing answers there, or the address has a part that the client does not take.
    """
    try:
        # One retry, for a connection that went stale; more would keep calls waiting for a Redis that is gone.
        client = Redis.from_url(
            url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=Retry(NoBackoff(), 1)
        )
    except ValueError:
        raise BadSetting(UNREADABLE) from None
    try:
        try:
            await client.ping()
        except UNFIT:
            raise BadSetting(UNREADABLE) from None
        except (RedisError, OSError) as error:
            raise BadSetting(
                f"BALLAST_REDIS_URL: no Redis answers at {_place(url)} ({type(error).__name__}): "
                "start it, or unset the variable to keep breakers and rate limits in each process"
            ) from None
        yield RedisLink(client)
    finally:
        await client.aclose()


def _place(url: str) -> str:
    """Where it is, without user and password."""
    parts = urlsplit(url)
    return parts.path if parts.hostname is None else f"{parts.hostname}:{parts.port or 6379}"
