"""Posting to the webhook: once, within a time, nothing read but how it was answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import httpx

from graph.context import Clock
from services.faults import retry_after_s
from services.notices import signed

SECONDS = 10.0
"""Longest a receiver may take."""
AGAIN = (408, 429)
"""Refusals that may be none later (RFC 9110, 15.5.9; RFC 6585, 4), besides those from 500 on."""
WAITS = (429, 503)
"""Answers whose Retry-After counts."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why something did not arrive, or may not have."""

    why: str
    """For the log: without address, secret, or words of the receiver."""
    again: bool | float = True
    """Whether it may be tried again: no, yes, or yes after so many seconds."""


class Webhook:
    """One receiver."""

    def __init__(self, url: str, key: bytes, clock: Clock, *, seconds: float = SECONDS) -> None:
        self._url, self._key, self._clock, self._seconds = httpx.URL(url), key, clock, seconds
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def post(self, message_id: str, body: str) -> Failure | None:
        """Hand it over; None when the receiver took it."""
        head = signed(body, message_id=message_id, key=self._key, now=self._clock.now())
        request = httpx.Request(
            "POST", self._url, content=body.encode(), headers={**head, "content-type": "application/json"}
        )
        try:
            async with asyncio.timeout(self._seconds):
                # Not httpx's client: it logs the whole address, whose path may hold a token, and follows more rules
                # than this needs (cookies, redirects, decoding).
                response = await (await self._opened()).handle_async_request(request)
                await response.aclose()
        except TimeoutError:
            return Failure(why=f"no answer within {self._seconds:g} s")
        except httpx.HTTPError as error:
            # Other errors may quote what the receiver sent; this one is told by our side of the connection.
            told = f": {error}" if isinstance(error, httpx.ConnectError) else ""
            return Failure(why=f"{type(error).__name__}{told}")
        return _failure(response)

    async def _opened(self) -> httpx.AsyncHTTPTransport:
        if self._transport is None:  # in a thread: reading the certificates takes longer than others should wait
            self._transport = await asyncio.to_thread(
                httpx.AsyncHTTPTransport, proxy=_proxy(self._url), limits=httpx.Limits(max_keepalive_connections=0)
            )
        return self._transport


def _failure(response: httpx.Response) -> Failure | None:
    status = response.status_code
    if response.is_success:
        return None
    why = f"HTTP {status}"
    if response.has_redirect_location:
        return Failure(why=f"{why}: a redirect, and none is followed", again=False)
    if status < 500 and status not in AGAIN:  # noqa: PLR2004 - HTTP's own
        return Failure(why=why, again=False)
    after = retry_after_s(response.headers) if status in WAITS else True
    return Failure(why=why, again=after)


def _proxy(url: httpx.URL) -> str | None:
    """As other clients find it. Plain http has none: it must not leave this machine."""
    return None if url.scheme == "http" or proxy_bypass(url.host) else getproxies().get("https")
