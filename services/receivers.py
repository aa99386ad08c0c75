"""Who is told of a new approval, as the settings give it: a webhook with its secret, and mail addresses."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from services.addresses import is_loopback

ADDRESS = re.compile(r"[!#-'*+\-./0-9=?A-Z^_`a-z{|}~]+@[0-9A-Za-z.\-]+")
"""Plain addresses only: no quoting, comments or routes, which parsers read differently (RFC 5322, 3.4.1)."""

SMTP_FORM = "smtp://USER:PASSWORD@HOST:PORT or smtps://..., a special character in the password written as %XX"
MOST_ADDRESSES = 20

PREFIX = "whsec_"
KEY_BYTES = (24, 64)
"""How long a key is, from and to, by the Standard Webhooks specification."""


def parse_addresses(text: str) -> tuple[str, ...]:
    """Mail addresses separated by commas, each once.

    Raises:
        ValueError: a part is none, or there are too many.
    """
    addresses = tuple(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))
    if not 0 < len(addresses) <= MOST_ADDRESSES or not all(map(ADDRESS.fullmatch, addresses)):
        raise ValueError(f"1 to {MOST_ADDRESSES} mail addresses, separated by commas")
    return addresses


def signing_key(secret: str) -> bytes:
    """The key in a secret: what follows `whsec_` is base64, any other text is the key itself.

    Raises:
        ValueError: it is too short or too long, or no base64. The secret is not in the message.
    """
    shortest, longest = KEY_BYTES
    key = secret.encode()
    if secret.startswith(PREFIX):
        coded = secret.removeprefix(PREFIX).rstrip("=")
        try:
            key = base64.b64decode(coded + "=" * (-len(coded) % 4), validate=True)
        except ValueError:
            key = b""
    if not shortest <= len(key) <= longest:
        raise ValueError(f"whsec_ and {shortest} to {longest} bytes in base64, or text of as many")
    return key


def checked_webhook(url: str) -> str:
    """The address, when what is sent there can be read by nobody on the way.

    Raises:
        ValueError: it is no web address, holds a user or a fragment, or is plain http to another machine.
    """
    parts = _parts(url)
    if parts is None or parts.fragment or not (parts.scheme == "https" or is_loopback(parts.hostname or "")):
        raise ValueError(
            "an https:// address, or an http:// one on this machine, without user and fragment "
            "(a token may stand in its path)"
        )
    return url


def checked_base(url: str) -> str:
    """Where links begin, without a slash at the end.

    Raises:
        ValueError: it is no web address, or holds more than host, port and path.
    """
    parts = _parts(url)
    if parts is None or parts.query or parts.fragment:
        raise ValueError("an http:// or https:// address of host, port and path alone")
    return url.rstrip("/")


def checked_smtp(url: SecretStr) -> SecretStr:
    """The address of a mail server.

    Raises:
        ValueError: it is none, or has a character in its password that ends the host. It is not in the message.
    """
    try:
        parts = urlsplit(url.get_secret_value())
        rest = f"{parts.path}{parts.query}{parts.fragment}"
        good = parts.scheme in {"smtp", "smtps"} and parts.port != 0 and "@" not in rest
    except ValueError:  # its message may show a part of the password
        good = False
    if not good:
        raise ValueError(SMTP_FORM)
    return url


def _checked_secret(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


def _checked_address(address: str) -> str:
    if not ADDRESS.fullmatch(address):
        raise ValueError("a mail address, name@host")
    return address


def _parts(url: str) -> SplitResult | None:
    """The parts of a web address that every parser reads alike; None when it is no such address."""
    if not url.isascii() or not url.isprintable() or set(url) & set(' "<>\\^`{|}'):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    good = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc and port != 0
    return parts if good else None


class ReceiverSettings(BaseModel):
    """The part of `services.settings.Settings` that says who is told, and by what mail server."""

    smtp_url: Annotated[SecretStr, AfterValidator(checked_smtp)] | None = Field(
        None, validation_alias=AliasChoices("SMTP_URL")
    )
    """Where mail goes out; without one it is put into `outbox` of the workspace."""
    notify_secret: Annotated[SecretStr, AfterValidator(_checked_secret)] | None = None
    """Signs what goes to the webhook."""
    notify_webhook: Annotated[str, AfterValidator(checked_webhook)] | None = Field(None, repr=False)
    """Told of each new approval."""
    notify_mail: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses that are told of each new approval."""
    notify_from: Annotated[str, AfterValidator(_checked_address)] = "ballast@localhost"
    """Who that mail is from."""
    public_url: Annotated[str, AfterValidator(checked_base)] = "http://127.0.0.1:2024"
    """Where people reach the server: links in notifications begin with it."""

    @field_validator("notify_webhook")
    @classmethod
    def _signed(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("notify_secret") is None:
            raise ValueError("signed: set BALLAST_NOTIFY_SECRET too")
        return value

    @field_validator("notify_mail", mode="before")
    @classmethod
    def _sent(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("smtp_url") is None:
            raise ValueError("sent by a mail server: set SMTP_URL too")
        return parse_addresses(value) if isinstance(value, str) else value
