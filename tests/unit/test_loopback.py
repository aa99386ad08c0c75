"""What is taken for a request from this machine, as a table."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from app.loopback import doubt
from services.addresses import is_loopback
from services.settings import PAGES


def _connection(
    client: str | None = "127.0.0.1", *, version: str = "1.1", headers: list[tuple[str, str]] | None = None
) -> HTTPConnection:
    sent = [("host", "localhost:2024")] if headers is None else headers
    return HTTPConnection(
        {
            "type": "http",
            "http_version": version,
            "client": None if client is None else (client, 5000),
            "headers": [(name.encode(), value.encode()) for name, value in sent],
        }
    )


HOST = ("host", "localhost:2024")


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host", ["localhost", "localhost:2024", "LOCALHOST:1", "127.0.0.1:2024", "[::1]", "[::1]:2024", "127.0.0.1:"]
)
def test_this_machine_asking_itself_is_not_doubted(client: str, host: str) -> None:
    assert doubt(_connection(client, headers=[("host", host)]), PAGES) is None


@pytest.mark.parametrize("client", ["10.0.0.5", "192.168.1.2", "0.0.0.0", "::ffff:10.0.0.5", "fe80::1", "testclient"])  # noqa: S104 - an address that asks, none to bind
def test_another_machine_is(client: str) -> None:
    assert doubt(_connection(client), PAGES) == f"it comes from {client}"


def test_so_is_who_has_no_address() -> None:
    assert doubt(_connection(None), PAGES) == "it comes from an unknown address"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "localhost.evil.example:2024", "127.0.0.1.evil.example", "evil.example:127.0.0.1",
        "0.0.0.0",  # noqa: S104 - as above
        "127.1", "0x7f000001", "localhost, evil.example", "localhost@evil.example", "10.0.0.5:2024", "",
    ],
)  # fmt: skip
def test_a_host_that_is_not_this_machine_is_a_name_somebody_made_resolve_to_it(host: str) -> None:
    said = doubt(_connection(headers=[("host", host)]), PAGES)

    assert said is not None
    assert "its Host header does not name this machine" in said


@pytest.mark.parametrize(
    "hosts", [[], [HOST, ("host", "evil.example")], [("host", "evil.example"), HOST], [HOST, HOST]]
)
def test_there_must_be_one_host(hosts: list[tuple[str, str]]) -> None:
    assert "its Host header" in str(doubt(_connection(headers=hosts), PAGES))


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "x-forwarded", "Forwarded", "Via", "X-Real-IP",
        "CF-Connecting-IP", "True-Client-IP", "X-Client-IP",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["127.0.0.1", "for=127.0.0.1", ""])
def test_a_proxy_on_this_machine_speaks_for_others(name: str, value: str) -> None:
    said = doubt(_connection(headers=[HOST, (name.lower(), value)]), PAGES)

    assert said == f"it came through a proxy (header {name.lower()})"


def test_one_that_says_nothing_is_known_by_its_old_protocol() -> None:
    assert doubt(_connection(version="1.0"), PAGES) == "it came through a proxy (HTTP/1.0)"


@pytest.mark.parametrize(
    "origin",
    [*PAGES, "http://localhost:3000", "http://127.0.0.1:8080", "https://localhost", "http://[::1]:3000",
     "https://SMITH.langchain.com"],
)  # fmt: skip
def test_pages_of_this_machine_and_those_allowed_may_ask(origin: str) -> None:
    assert doubt(_connection(headers=[HOST, ("origin", origin)]), PAGES) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "null", "http://localhost.evil.example", "http://smith.langchain.com",
        "https://smith.langchain.com.evil.example", "https://smith.langchain.com:444", "file://localhost", "http://[::1",
        "http://localhost@evil.example", "", "chrome-extension://localhost",
    ],
)  # fmt: skip
def test_no_other_page_may(origin: str) -> None:
    said = doubt(_connection(headers=[HOST, ("origin", origin)]), PAGES)

    assert said == f"the page it comes from is not in BALLAST_ALLOWED_ORIGINS: {origin!r}"


def test_a_second_origin_does_not_hide_behind_the_first() -> None:
    headers = [HOST, ("origin", "http://localhost"), ("origin", "https://evil.example")]

    assert "evil.example" in str(doubt(_connection(headers=headers), PAGES))


@pytest.mark.parametrize("host", ["", "localhost.", "example.com", "127.0.0.1:1", "fe80::1%lo"])
def test_what_is_no_loopback_address(host: str) -> None:
    assert not is_loopback(host)
