"""One post to a real receiver: good, refusing, broken, slow, encrypted, behind a proxy."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from services.clock import SystemClock
from services.webhook import Failure, Webhook
from tests.integration.smtp_bench import certified
from tests.webhook_receiver import HANGS, IN_ADDRESS, KEY, OK, Answer, answer, receiving

BODY = '{"type": "approval.requested"}'


async def _post(url: str, *, seconds: float = 10) -> Failure | None:
    return await Webhook(url, KEY, SystemClock(), seconds=seconds).post("ap-1", BODY)


@asynccontextmanager
async def _saying(*parts: bytes, every_s: float = 0) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The address of a server that sends these bytes, the last for ever, and the heads of the requests it got."""
    heads: list[bytes] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            for part in parts[:-1]:
                writer.write(part)
            while parts[-1]:
                writer.write(parts[-1])
                await writer.drain()
                await asyncio.sleep(every_s)
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{IN_ADDRESS}", heads
        await asyncio.gather(*filter(None, serving))


async def test_what_arrives_is_signed_and_a_forger_is_found() -> None:
    with receiving(OK) as receiver:
        assert await _post(receiver.url) is None

    [post] = receiver.posts
    assert post.verified() == {"type": "approval.requested"}
    assert post.verified(KEY) == {"type": "approval.requested"}
    assert (post.id, post.path, post.headers["content-type"]) == ("ap-1", f"/hooks/{IN_ADDRESS}", "application/json")
    with pytest.raises(WebhookVerificationError):
        post.verified(b"another key of thirty-two bytes!")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_answer_of_success_will_do(status: int) -> None:
    with receiving(answer(status)) as receiver:
        assert await _post(receiver.url) is None


@pytest.mark.parametrize("status", [300, 304, 400, 401, 403, 404, 410, 413, 422])
async def test_a_refusal_is_final(status: int) -> None:
    with receiving(answer(status)) as receiver:
        assert await _post(receiver.url) == Failure(why=f"HTTP {status}", again=False)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_trouble_may_pass(status: int) -> None:
    with receiving(answer(status)) as receiver:
        assert await _post(receiver.url) == Failure(why=f"HTTP {status}")


@pytest.mark.parametrize(
    ("given", "again"),
    [
        (answer(429, retry_after="120"), 120),
        (answer(503, retry_after="7"), 7),
        (answer(503, date="Tue, 01 Jan 2030 00:00:00 GMT", retry_after="Tue, 01 Jan 2030 00:01:00 GMT"), 60),
        (answer(503, retry_after="soon"), True),
        (answer(500, retry_after="120"), True),
    ],
)
async def test_a_receiver_that_is_busy_says_when(given: Answer, again: float) -> None:
    with receiving(given) as receiver:
        failure = await _post(receiver.url)

    assert failure is not None
    assert failure.again == again


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving(OK) as elsewhere, receiving(answer(status, location=elsewhere.url)) as receiver:
        failure = await _post(receiver.url)

    assert failure == Failure(why=f"HTTP {status}: a redirect, and none is followed", again=False)
    assert elsewhere.posts == []


async def test_a_closed_port_may_open_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]

    failure = await _post(f"http://127.0.0.1:{port}/{IN_ADDRESS}")

    assert failure == Failure(why="ConnectError: All connection attempts failed")


async def test_a_receiver_that_hangs_is_left() -> None:
    with receiving(HANGS) as receiver:
        failure = await asyncio.wait_for(_post(receiver.url, seconds=0.2), 5)

    assert failure == Failure(why="no answer within 0.2 s")


async def test_a_receiver_that_dribbles_is_left_as_well() -> None:
    async with _saying(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", every_s=0.05) as (url, _):
        failure = await asyncio.wait_for(_post(url, seconds=0.3), 5)

    assert failure == Failure(why="no answer within 0.3 s")


@pytest.mark.parametrize("last", [b"x: y\r\n" * 1_000, b""])
async def test_headers_without_end_are_not_read_to_it(last: bytes) -> None:
    async with _saying(b"HTTP/1.1 200 OK\r\nx: y\r\n", last) as (url, _):
        assert await asyncio.wait_for(_post(url), 5) == Failure(why="RemoteProtocolError")


async def test_a_body_without_end_is_not_read() -> None:
    async with _saying(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536) as (url, _):
        assert await asyncio.wait_for(_post(url), 5) is None


@pytest.mark.parametrize("said", [b"what?\r\n\r\n", b"HTTP/1.1 s3cret-t0ken\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"\0"])
async def test_what_is_no_http_may_be_later_and_its_words_are_not_told(said: bytes) -> None:
    async with _saying(said, b"") as (url, _):
        assert await _post(url) == Failure(why="RemoteProtocolError")


async def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with receiving(OK, tls=certified(tmp_path)[0]) as receiver:
        failure = await _post(receiver.url)

    assert failure is not None
    assert "CERTIFICATE_VERIFY_FAILED" in failure.why
    assert receiver.posts == []


async def test_it_goes_out_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with receiving(OK, tls=context) as receiver:
        assert await _post(receiver.url) is None

    assert receiver.posts[0].verified()


async def test_a_proxy_is_used_for_https_and_never_for_what_must_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with _saying(b"HTTP/1.1 403 no\r\n\r\n", b"") as (proxy, heads):
        for name in ("https_proxy", "http_proxy"):
            monkeypatch.setenv(name, proxy)
        failure = await _post(f"https://hooks.example.com/{IN_ADDRESS}")
        with receiving(OK) as receiver:
            assert await _post(receiver.url) is None

    assert failure == Failure(why="ProxyError")
    assert [head.splitlines()[0] for head in heads] == [b"CONNECT hooks.example.com:443 HTTP/1.1"]


async def test_a_host_the_proxy_is_not_for_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "localhost")
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]

    failure = await _post(f"https://localhost:{port}/")

    assert failure is not None
    assert failure.why.startswith("ConnectError")


async def test_no_log_of_any_library_has_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiving(answer(500)) as receiver:
        await _post(receiver.url)

    assert caplog.records
    assert IN_ADDRESS not in caplog.text
    assert KEY.decode() not in caplog.text
