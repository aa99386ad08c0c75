"""Which OpenID Connect issuer to believe. Settings read this; what asks the issuer is in `services/oidc.py`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from services.addresses import is_loopback


@dataclass(frozen=True, kw_only=True)
class IssuerSettings:
    """Whom to believe, and what their claims mean."""

    url: str
    """As it stands in the `iss` of its tokens."""
    audience: str
    """What their `aud` must name."""
    roles_claim: str = "roles"
    """A list of roles, or one as text. `a.b` is also looked for as `b` in `a`."""
    name_claim: str = "sub"


def is_safe(url: str) -> bool:
    """Whether what is read there can be believed: https, or this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def check_issuer(url: str) -> str:
    """An issuer's address, unchanged: it is compared with the `iss` of tokens to the letter.

    Raises:
        ValueError: it is none, or others could change on the way what is read there.
    """
    if not is_safe(url) or "?" in url or "#" in url or "@" in url:
        raise ValueError("an https:// address without ?, # or @, as it stands in the 'iss' of its tokens")
    return url
