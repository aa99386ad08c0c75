from __future__ import annotations

import pytest

from graph.errors import BadSetting
from services.issuers import IssuerSettings, is_safe
from services.settings import PAGES, load

ISSUER, AUDIENCE = "BALLAST_OIDC_ISSUER", "BALLAST_OIDC_AUDIENCE"


def test_by_default_there_is_no_issuer_and_the_public_chat_pages_may_ask(environment: pytest.MonkeyPatch) -> None:
    settings = load()

    assert settings.issuer is None
    assert settings.allowed_origins == PAGES


def test_each_variable_reaches_the_issuer(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(ISSUER, "https://id.example.com/realms/a")
    environment.setenv(AUDIENCE, "ballast")
    environment.setenv("BALLAST_OIDC_ROLES_CLAIM", "realm_access.roles")
    environment.setenv("BALLAST_OIDC_NAME_CLAIM", "email")

    assert load().issuer == IssuerSettings(
        url="https://id.example.com/realms/a", audience="ballast", roles_claim="realm_access.roles", name_claim="email"
    )


def test_an_issuer_without_an_audience_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(ISSUER, "https://id.example.com")

    with pytest.raises(BadSetting, match=rf"{AUDIENCE} must be set with {ISSUER}"):
        load()


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.com", "id.example.com", "ftp://id.example.com", "https://", "https://id.example.com?x=1",
        "https://id.example.com#x", "https://user@id.example.com", "https://[::1", "http://10.0.0.5",
    ],
)  # fmt: skip
def test_an_issuer_others_could_speak_for_is_refused(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv(ISSUER, url)
    environment.setenv(AUDIENCE, "ballast")

    with pytest.raises(BadSetting, match=rf"{ISSUER} must be an https:// address"):
        load()


@pytest.mark.parametrize(
    "url", ["https://id.example.com", "http://127.0.0.1:8080/x", "http://localhost", "http://[::1]:1"]
)
def test_https_or_this_machine_is_safe(url: str) -> None:
    assert is_safe(url)


def test_origins_are_read_as_browsers_send_them(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BALLAST_ALLOWED_ORIGINS", " https://Chat.Example.com/ ,http://b.example:3000,")

    assert load().allowed_origins == ("https://chat.example.com", "http://b.example:3000")


@pytest.mark.parametrize(
    "text", ["*", "null", "chat.example.com", "https://a.example/path", "ftp://a.example", "https://"]
)
def test_what_is_no_origin_is_refused(environment: pytest.MonkeyPatch, text: str) -> None:
    environment.setenv("BALLAST_ALLOWED_ORIGINS", text)

    with pytest.raises(BadSetting, match=r"BALLAST_ALLOWED_ORIGINS must be origins such as https://chat\.example"):
        load()
