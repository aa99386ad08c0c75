"""Who is told: settings that hold, and bad ones told in one line without what is secret."""

from __future__ import annotations

import base64

import pytest

from graph.errors import BadSetting
from services.receivers import signing_key
from services.settings import load

pytestmark = pytest.mark.usefixtures("environment")

WHSEC = "whsec_" + base64.b64encode(b"k" * 32).decode()
HOOK, SECRET, MAIL = "BALLAST_NOTIFY_WEBHOOK", "BALLAST_NOTIFY_SECRET", "BALLAST_NOTIFY_MAIL"
SENDER, PUBLIC, SMTP = "BALLAST_NOTIFY_FROM", "BALLAST_PUBLIC_URL", "SMTP_URL"


def test_nobody_is_told_by_default() -> None:
    settings = load()

    assert (settings.notify_webhook, settings.notify_secret, settings.notify_mail) == (None, None, ())
    assert (settings.notify_from, settings.public_url) == ("ballast@localhost", "http://127.0.0.1:2024")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/T0/s3cret?x=1",
        "http://127.0.0.1:9000/hook",
        "http://localhost/hook",
        "http://[::1]:9000/",
    ],
)
def test_a_webhook_is_https_or_on_this_machine_and_is_not_shown(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv(HOOK, url)
    environment.setenv(SECRET, WHSEC)

    settings = load()

    assert settings.notify_webhook == url
    assert url not in repr(settings)
    assert WHSEC not in repr(settings)
    assert not any(name.startswith("notify") for name in settings.kept())


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        (WHSEC, b"k" * 32),
        (WHSEC.rstrip("="), b"k" * 32),
        ("plain text of two dozens", b"plain text of two dozens"),
        ("ä" * 12, "ä".encode() * 12),
    ],
)
def test_a_secret_is_base64_after_whsec_and_else_the_key_itself(secret: str, key: bytes) -> None:
    assert signing_key(secret) == key


@pytest.mark.parametrize(
    "secret",
    [
        "s3cret",
        "s3cret" * 20,
        "whsec_s3cret",
        "whsec_" + "s3cret!" * 8,
        "whsec_" + "s3cretä" * 8,
        "whsec_" + base64.b64encode(b"s3cret" * 11).decode(),
        "whsec_" + "s3cretss" * 4 + "a",
    ],
)
def test_a_bad_secret_is_told_without_showing_it(environment: pytest.MonkeyPatch, secret: str) -> None:
    environment.setenv(SECRET, secret)
    environment.setenv(HOOK, "https://h/s3cret")

    with pytest.raises(BadSetting) as refused:
        load()

    assert str(refused.value) == f"{SECRET} must be whsec_ and 24 to 64 bytes in base64, or text of as many"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/s3cret",
        "http://127.0.0.1.example.com/s3cret",
        "http://127.0.0.1\\@example.com/s3cret",
        "https://ann:s3cret@example.com/",
        "https://example.com/#s3cret",
        "https://example.com/s3cret here",
        "https://example.com/s3cret\n",
        "https://exämple.com/s3cret",
        "https://example.com:port/s3cret",
        "https://example.com:0/s3cret",
        "https://[s3cret",
        "https:///s3cret",
        "ftp://example.com/s3cret",
        "s3cret",
    ],
)
def test_an_address_that_others_could_read_or_read_otherwise_is_refused_unshown(
    environment: pytest.MonkeyPatch, url: str
) -> None:
    environment.setenv(SECRET, WHSEC)
    environment.setenv(HOOK, url)

    with pytest.raises(BadSetting) as refused:
        load()

    assert str(refused.value).startswith(f"{HOOK} must be an https:// address, or an http:// one on this machine")
    assert "s3cret" not in str(refused.value)


def test_addresses_are_kept_in_order_and_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(SMTP, "smtp://mail")
    environment.setenv(MAIL, " bob@example.com, ann@example.com,,bob@example.com ")

    assert load().notify_mail == ("bob@example.com", "ann@example.com")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({HOOK: "https://h/s3cret"}, f"{HOOK} must be signed: set {SECRET} too"),
        ({MAIL: "a@b"}, f"{MAIL} must be sent by a mail server: set SMTP_URL too, got 'a@b'"),
        ({MAIL: "a@b, c", SMTP: "smtp://m"}, f"{MAIL} must be 1 to 20 mail addresses, separated by commas, got"),
        ({MAIL: ",", SMTP: "smtp://m"}, f"{MAIL} must be 1 to 20 mail addresses"),
        ({MAIL: "a@b\nBcc: c@d", SMTP: "smtp://m"}, f"{MAIL} must be 1 to 20 mail addresses"),
        ({MAIL: ",".join(f"p{n}@b" for n in range(21)), SMTP: "smtp://m"}, f"{MAIL} must be 1 to 20 mail addresses"),
        ({SENDER: "Ballast <a@b>"}, f"{SENDER} must be a mail address, name@host, got"),
        ({PUBLIC: "ftp://h"}, f"{PUBLIC} must be an http:// or https:// address of host, port and path alone, got"),
        ({PUBLIC: "https://h/?x=1"}, f"{PUBLIC} must be an http://"),
        ({PUBLIC: "https://h/#x"}, f"{PUBLIC} must be an http://"),
        ({PUBLIC: "https://a:b@h/"}, f"{PUBLIC} must be an http://"),
    ],
)
def test_what_does_not_hold_is_one_line(environment: pytest.MonkeyPatch, variables: dict[str, str], told: str) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)

    with pytest.raises(BadSetting) as refused:
        load()

    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "mail:25",
        "http://mail",
        "smtp://ann:s3/cret@mail",
        "smtp://ann:12#s3cret@mail",
        "smtp://mail:0",
        "smtp://[s3cret",
    ],
)
def test_a_mail_server_that_can_not_be_told_is_refused_without_showing_its_password(
    environment: pytest.MonkeyPatch, url: str
) -> None:
    environment.setenv(SMTP, url)

    with pytest.raises(BadSetting) as refused:
        load()

    assert str(refused.value).startswith("SMTP_URL must be smtp://USER:PASSWORD@HOST:PORT or smtps://")
    assert "s3" not in str(refused.value)


def test_links_begin_without_a_slash_at_the_end(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(PUBLIC, "https://ballast.example.com/agents/")

    assert load().public_url == "https://ballast.example.com/agents"
