"""JSON web tokens of an OpenID Connect issuer: who they are for, checked by the issuer's published keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt

from graph.errors import SignInUnavailable, Unauthorized
from graph.people import ROLES, Person, Role
from services.issuers import IssuerSettings, is_safe

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Those whose key the issuer can publish. Never one of a shared secret: a published key would pass for it."""

LEEWAY_S = 30
TIMEOUT_S = 5.0
PAUSE_S = 5.0
"""How long an issuer that did not answer is left alone: each request that waits for it holds a thread."""
KEYS_S, DISCOVERY_S = 300.0, 3600.0
"""How long keys, and where they are published, are kept."""

LONGEST_NAME = 200
PREFIX = "oidc:"
"""Before every name an issuer vouches for: no token made here has such a name."""


@dataclass
class Issuer:
    """One OpenID Connect issuer. Belongs to the event loop it is used on."""

    settings: IssuerSettings
    monotonic: Callable[[], float] = time.monotonic
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _keys: jwt.PyJWKClient | None = None
    _found_at: float = 0.0
    _down: tuple[float, str] | None = None
    """Until when it is left alone, and what it said."""

    async def person(self, token: str) -> Person:
        """Whom this token was given to, with the highest role it names; `user` when it names none.

        Raises:
            Unauthorized: it is not one of this issuer's, not for this server, or not valid now.
            SignInUnavailable: the issuer's keys can't be had.
        """
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS or not isinstance(header.get("kid"), str):
                raise Unauthorized(f"the token must be signed with {', '.join(ALGORITHMS)} and name its key")
            key = await self._key(header["kid"])
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self.settings.audience,
                issuer=self.settings.url,
                leeway=LEEWAY_S,
                options={"require": ["exp", "aud", "iss"], "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise Unauthorized(f"the token does not hold: {' '.join(str(error).split()):.200}") from None
        return Person(name=self._name(claims), role=self._role(claims))

    async def check(self) -> None:
        """See whether keys can be had.

        Raises:
            SignInUnavailable: they can't.
        """
        async with self._turn:
            await self._ask(lambda: self._published().get_jwk_set())

    async def _key(self, kid: str) -> jwt.PyJWK:
        """The key with this id. One that is known waits for nobody."""
        if (known := self._known(kid)) is not None:
            return known
        # One at a time: a slow issuer holds one thread, not all of them.
        async with self._turn:
            if self._down and self.monotonic() < self._down[0]:
                raise SignInUnavailable(self._down[1])
            key: jwt.PyJWK = await self._ask(lambda: self._published().get_signing_key(kid))
            return key

    def _known(self, kid: str) -> jwt.PyJWK | None:
        cache = self._keys.jwk_set_cache if self._keys else None
        held = cache.get() if cache else None
        keys = held.keys if held else []
        return jwt.PyJWKClient.match_kid([key for key in keys if key.public_key_use in {"sig", None}], kid)

    async def _ask(self, what: Callable[[], Any]) -> Any:
        try:
            answer = await asyncio.to_thread(what)
        except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, httpx.HTTPError, OSError, ValueError) as error:
            said = f"the issuer {self.settings.url} can't be asked for its keys ({_told(error)}): try again later"
            self._down = self.monotonic() + PAUSE_S, said
            raise SignInUnavailable(said) from None
        self._down = None
        return answer

    def _published(self) -> jwt.PyJWKClient:
        """The client of the keys; where they are is read anew once an hour. Blocks."""
        if self._keys is None or self.monotonic() - self._found_at >= DISCOVERY_S:
            uri = self._discover()
            if self._keys is None or self._keys.uri != uri:
                self._keys = jwt.PyJWKClient(uri, lifespan=KEYS_S, timeout=TIMEOUT_S)
            self._found_at = self.monotonic()
        return self._keys

    def _discover(self) -> str:
        issuer = self.settings.url
        found = httpx.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", timeout=TIMEOUT_S)
        found.raise_for_status()
        document = found.json()
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise ValueError("its configuration names another issuer")
        uri = document.get("jwks_uri")
        if not isinstance(uri, str) or not is_safe(uri):
            raise ValueError("its jwks_uri is no https address")
        return uri

    def _name(self, claims: Mapping[str, Any]) -> str:
        claim = self.settings.name_claim
        name = claims.get(claim)
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise Unauthorized(f"the token has no {claim!r} to know a person by")
        if claim == "email" and claims.get("email_verified") is False:
            raise Unauthorized("the token's email is not verified: anybody may have written it there")
        return PREFIX + name

    def _role(self, claims: Mapping[str, Any]) -> Role:
        held = _claim(claims, self.settings.roles_claim)
        named = held.split() if isinstance(held, str) else held if isinstance(held, list) else []
        return max((role for role in ROLES if role in named), key=ROLES.index, default="user")


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name, else what the name means as a path. A name may have dots: those of Auth0 do."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
