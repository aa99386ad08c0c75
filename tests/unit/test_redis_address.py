from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from graph.errors import BadSetting
from services.endpoints import open_endpoints
from services.settings import load

ROOT = Path(__file__).parents[2]
WITHOUT_THE_CLIENT = """
import asyncio, sys
sys.modules["redis"] = None
from graph.errors import BadSetting
from services.endpoints import open_endpoints
from services.settings import load

async def main():
    try:
        async with open_endpoints(load(redis_url="redis://localhost:1")):
            print("opened")
    except BadSetting as error:
        print(error)

asyncio.run(main())
"""


@pytest.mark.parametrize("variable", ["BALLAST_REDIS_URL", "REDIS_URL"])
def test_a_bad_address_is_told_without_it(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BALLAST_REDIS_URL", raising=False)
    monkeypatch.setenv(variable, "http://me:secret@host")
    with pytest.raises(BadSetting, match=r"^BALLAST_REDIS_URL must be a redis://, rediss:// or unix:// address$"):
        load()


@pytest.mark.parametrize(
    "address",
    [
        "redis://h:99999",
        "redis://h:abc",
        "redis://h:0",
        "redis://u:s3[cret@h",
        "redis://u:s3cret[x]@h",
        "redis://u:1/s3cret@h",
        "redis://u:1#s3cret@h",
        "redis://u:1?s3cret@h",
    ],
)
def test_an_address_that_does_not_read_is_told_without_it(address: str) -> None:
    with pytest.raises(BadSetting, match=r"^BALLAST_REDIS_URL must be redis://USER:PASSWORD@HOST:PORT") as caught:
        load(redis_url=address)
    assert "s3" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "redis://h:6379/1",
        "redis://h",
        "rediss://u:a%40b%2F@h:6380/0?socket_keepalive=1",
        "redis://[::1]:6379",
        "unix:///run/redis.sock?db=1",
        "unix://u:p@/run/redis.sock",
    ],
)
def test_an_address_that_reads_is_kept(address: str) -> None:
    assert load(redis_url=address).redis_url == address


@pytest.mark.parametrize(
    "rest", ["localhost:1?db=s3", "localhost:1?colour=s3", "localhost:1?retry=s3", "a..b:1", "localhost:1?protocol=s3"]
)
async def test_what_the_client_does_not_take_is_one_line(rest: str) -> None:
    with pytest.raises(BadSetting, match=r"^BALLAST_REDIS_URL") as caught:
        async with open_endpoints(load(redis_url=f"redis://me:s3cret@{rest}")):
            pass
    assert "s3" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_no_redis_there_is_one_line_without_the_password() -> None:
    with pytest.raises(BadSetting, match=r"^BALLAST_REDIS_URL: no Redis answers at localhost:1 ") as caught:
        async with open_endpoints(load(redis_url="redis://me:secret@localhost:1")):
            pass
    assert "secret" not in str(caught.value)


def test_without_the_client_the_extra_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_THE_CLIENT], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.stdout == "BALLAST_REDIS_URL needs the extra redis: pip install 'ballast[redis]'\n", done.stderr
