"""The real openai client against a provider that misbehaves over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage
from openai import InternalServerError
from pydantic import SecretStr

from services.breakers import Breakers
from services.endpoints import Endpoints
from services.faults import CutStream, started, transient
from services.openai_model import OpenAIModels
from services.rates import Rates
from services.refusals import EndpointFailing
from services.scripted import ScriptedFailure

OK = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)

REQUEST = httpx.Request("GET", "http://localhost")
CUT = "HTTP/1.1 200 X\r\ncontent-length: 900\r\n\r\n{"


def reply(status: int, body: str = "{}", **headers: str) -> str:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    length = f"content-length: {len(body)}"
    return "\r\n".join([f"HTTP/1.1 {status} X", "content-type: application/json", length, *lines, "", body])


class Provider:
    """Answers as it is told, one request after another, the last for ever; None hangs, "" hangs up."""

    def __init__(self, *answers: str | None) -> None:
        self.answers, self.requests, self.url = answers, 0, ""
        self._end = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
        await reader.readexactly(int(size.split(b":")[1]))
        answer = self.answers[min(self.requests, len(self.answers) - 1)]
        self.requests += 1
        if answer is None:
            await self._end.wait()
        else:
            writer.write(answer.encode())
            await writer.drain()
        writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Provider]:
        async with await asyncio.start_server(self.handle, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            try:
                yield self
            finally:
                self._end.set()


async def ask(url: str, slept: list[float], *, failures: int = 50, times: int = 1) -> AIMessage:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    endpoints = Endpoints(breakers=Breakers(failures=failures, seconds=30), rates=Rates({}), sleep=sleep)
    models = OpenAIModels(key=SecretStr("sk-test"), base_url=url, timeout_s=1.0)
    async with aclosing(models):
        model = models.model("m")
        for _ in range(times - 1):
            with pytest.raises(InternalServerError):
                await endpoints.call("openai:m", lambda: model.ainvoke("hi"), retry=transient, within_s=50, attempts=1)
        return await endpoints.call("openai:m", lambda: model.ainvoke("hi"), retry=transient, within_s=50)


async def error_of(answer: str | None) -> Exception:
    async with Provider(answer).serving() as provider:
        try:
            await ask(provider.url, [])
        except Exception as error:  # noqa: BLE001 - which one it is, is what the tests are about
            caught = error
        assert provider.requests in {1, 3}
        assert (provider.requests == 3) == (transient(caught) is not False)
        return caught


async def test_a_429_is_asked_again_when_it_says() -> None:
    slept: list[float] = []
    async with Provider(reply(429, retry_after="7"), reply(200, OK)).serving() as provider:
        assert (await ask(provider.url, slept)).text == "hello"
        assert provider.requests == 2
    assert len(slept) == 1
    assert 7 <= slept[0] <= 7.7


@pytest.mark.parametrize(
    "answer", [reply(500), "", None, reply(200, OK[:40]), "HTTP/1.1 200 X\r\ncontent-length: 900\r\n\r\n{"]
)
async def test_what_passes_is_asked_again(answer: str | None) -> None:
    slept: list[float] = []
    async with Provider(answer, reply(200, OK)).serving() as provider:
        assert (await ask(provider.url, slept)).text == "hello"
        assert provider.requests == 2
    assert len(slept) == 1


async def test_a_provider_that_is_down_is_left_alone() -> None:
    async with Provider(reply(503)).serving() as provider:
        with pytest.raises(EndpointFailing, match=r"^openai:m is failing: not asked again before"):
            await ask(provider.url, [], failures=3, times=4)
        assert provider.requests == 3


@pytest.mark.parametrize(
    ("answer", "again", "charged"),
    [
        (reply(400), False, False),
        (reply(401), False, False),
        (reply(429), True, False),
        (reply(429, json.dumps({"error": {"code": "insufficient_quota", "message": "m"}})), False, False),
        (reply(500, x_should_retry="false"), False, False),
        (reply(500), True, False),
        (reply(503, retry_after_ms="1500"), 1.5, False),
        (reply(503, retry_after="soon"), True, False),
        (reply(503, retry_after="-1"), True, False),
        ("", True, True),
        (None, True, True),
        (reply(200, OK[:40]), True, True),
    ],
)
async def test_faults_are_told_apart(answer: str | None, again: bool | float, charged: bool) -> None:  # noqa: FBT001
    error = await error_of(answer)
    assert (transient(error), started(error)) == (again, charged)


@pytest.mark.parametrize("own_clock", [True, False])
async def test_a_date_is_read_by_the_providers_clock(own_clock: bool) -> None:  # noqa: FBT001
    now = datetime(2001, 1, 1, tzinfo=UTC) if own_clock else datetime.now(UTC)
    headers = {"retry_after": format_datetime(now + timedelta(seconds=9), usegmt=True)}
    if own_clock:
        headers["date"] = format_datetime(now, usegmt=True)
    error = await error_of(reply(503, **headers))
    assert transient(error) == pytest.approx(9, abs=3)


async def test_a_refused_connection_was_never_started() -> None:
    async with Provider("").serving() as provider:
        url = provider.url
    slept: list[float] = []
    with pytest.raises(Exception, match="Connection error") as caught:
        await ask(url, slept)
    assert (transient(caught.value), started(caught.value), len(slept)) == (True, False, 2)


@pytest.mark.parametrize(
    ("error", "again", "charged"),
    [
        (CutStream(None), True, True),
        (TimeoutError(), True, True),
        (ScriptedFailure("rate_limit", None), True, False),
        (ScriptedFailure("timeout", None), True, True),
        (EndpointFailing("x", None), False, False),
        (ValueError("unknown"), False, True),
        (httpx.ReadError("cut"), True, True),
        (httpx.ConnectTimeout("late"), True, False),
        (httpx.HTTPStatusError("x", request=REQUEST, response=httpx.Response(503)), True, False),
        (httpx.HTTPStatusError("x", request=REQUEST, response=httpx.Response(404)), False, False),
    ],
)
def test_other_faults_are_told_apart(error: Exception, again: Any, charged: bool) -> None:  # noqa: FBT001
    assert (transient(error), started(error)) == (again, charged)
