"""JSON web tokens, checked against keys a real HTTP server publishes."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from graph.errors import SignInUnavailable, Unauthorized
from graph.people import Person
from services.issuers import IssuerSettings
from services.oidc import DISCOVERY_S, KEYS_S, LEEWAY_S, PAUSE_S, Issuer
from tests.integration.oidc_issuer import AUDIENCE, DISCOVERY, KEYS, KINDS, Published, published


class Hand:
    """A clock moved by hand."""

    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def shared() -> Iterator[Published]:
    with published() as issuer:
        yield issuer


@pytest.fixture
def own() -> Iterator[Published]:
    """One whose answers the test may change."""
    with published() as issuer:
        yield issuer


def _issuer(of: Published, clock: Hand | None = None, **settings: Any) -> Issuer:
    return Issuer(IssuerSettings(url=of.url, audience=AUDIENCE, **settings), monotonic=clock or Hand())


@pytest.mark.parametrize("algorithm", KINDS)
async def test_a_token_signed_by_the_issuer_is_its_subjects(shared: Published, algorithm: str) -> None:
    assert await _issuer(shared).person(shared.sign(kid=algorithm)) == Person(name="oidc:ann", role="user")


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({}, "user"),
        ({"roles": ["approver"]}, "approver"),
        ({"roles": ["user", "admin", "approver"]}, "admin"),
        ({"roles": "approver"}, "approver"),
        ({"roles": "user approver"}, "approver"),
        ({"roles": ["owner", "Admin", "administrator"]}, "user"),
        ({"roles": "superadmin"}, "user"),
        ({"roles": {"admin": True}}, "user"),
        ({"roles": [["admin"], 1, None]}, "user"),
        ({"roles": True}, "user"),
        ({"role": "admin"}, "user"),
    ],
)
async def test_the_highest_role_the_token_names_counts(shared: Published, claims: dict[str, Any], role: str) -> None:
    assert (await _issuer(shared).person(shared.sign(**claims))).role == role


@pytest.mark.parametrize(
    ("path", "claims", "role"),
    [
        ("https://example.com/roles", {"https://example.com/roles": ["admin"]}, "admin"),
        ("realm_access.roles", {"realm_access": {"roles": ["offline_access", "approver"]}}, "approver"),
        ("realm_access.roles", {"realm_access": ["admin"]}, "user"),
        ("realm_access.roles", {}, "user"),
    ],
)
async def test_roles_are_found_under_a_name_with_dots_or_along_it(
    shared: Published, path: str, claims: dict[str, Any], role: str
) -> None:
    assert (await _issuer(shared, roles_claim=path).person(shared.sign(**claims))).role == role


async def test_a_person_is_known_by_the_claim_the_settings_name(shared: Published) -> None:
    issuer = _issuer(shared, name_claim="email")

    assert (await issuer.person(shared.sign(email="ann@example.com"))).name == "oidc:ann@example.com"
    with pytest.raises(Unauthorized, match="the token has no 'email' to know a person by"):
        await issuer.person(shared.sign())
    with pytest.raises(Unauthorized, match="email is not verified"):
        await issuer.person(shared.sign(email="ann@example.com", email_verified=False))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a" * 201, 7, ["ann"]])
async def test_a_name_that_is_none_is_refused(shared: Published, name: Any) -> None:
    with pytest.raises(Unauthorized, match="no 'upn' to know a person by"):
        await _issuer(shared, name_claim="upn").person(shared.sign(upn=name))


def _now(seconds: float) -> int:
    return int(time.time() + seconds)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": _now(-LEEWAY_S - 5)}, "expired"),
        ({"nbf": _now(LEEWAY_S + 86_400)}, "not yet valid"),
        ({"iat": _now(LEEWAY_S + 86_400)}, "not yet valid"),
        ({"aud": "another"}, "Audience doesn't match"),
        ({"aud": ["another", "third"]}, "Audience doesn't match"),
        ({"aud": None}, 'missing the "aud" claim'),
        ({"iss": "https://evil.example"}, "Invalid issuer"),
        ({"iss": None}, 'missing the "iss" claim'),
        ({"exp": None}, 'missing the "exp" claim'),
        ({"exp": "soon"}, "must be an integer"),
        ({"sub": None}, "no 'sub'"),
    ],
)
async def test_a_token_of_another_time_place_or_issuer_is_refused(
    shared: Published, claims: dict[str, Any], why: str
) -> None:
    with pytest.raises(Unauthorized, match=why):
        await _issuer(shared).person(shared.sign(**claims))


async def test_clocks_may_differ_by_half_a_minute(shared: Published) -> None:
    late, early = shared.sign(exp=_now(5 - LEEWAY_S)), shared.sign(nbf=_now(LEEWAY_S - 5))

    for token in (late, early):
        assert (await _issuer(shared).person(token)).name == "oidc:ann"


async def test_one_audience_of_several_will_do(shared: Published) -> None:
    assert (await _issuer(shared).person(shared.sign(aud=["another", AUDIENCE]))).name == "oidc:ann"


def _b64(data: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def _unsigned(of: Published, algorithm: str) -> str:
    claims = {"iss": of.url, "aud": AUDIENCE, "sub": "boss", "exp": _now(300), "roles": ["admin"]}
    return f"{_b64({'alg': algorithm, 'kid': 'RS256', 'typ': 'JWT'})}.{_b64(claims)}."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "RS256", "HS256"])
async def test_a_token_nobody_signed_is_refused(shared: Published, algorithm: str) -> None:
    with pytest.raises(Unauthorized):
        await _issuer(shared).person(_unsigned(shared, algorithm))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_the_published_key_is_no_shared_secret(shared: Published, algorithm: str) -> None:
    public = shared.private["RS256"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": shared.url, "aud": AUDIENCE, "sub": "boss", "exp": _now(300)}
    signed = f"{_b64({'alg': algorithm, 'kid': 'RS256'})}.{_b64(claims)}"
    code = hmac.digest(pem, signed.encode(), f"sha{algorithm[2:]}")

    with pytest.raises(Unauthorized, match="the token must be signed with RS256"):
        await _issuer(shared).person(f"{signed}.{base64.urlsafe_b64encode(code).rstrip(b'=').decode()}")


async def test_another_key_under_a_known_id_is_refused(shared: Published) -> None:
    with pytest.raises(Unauthorized, match="Signature verification failed"):
        await _issuer(shared).person(shared.sign(key=KINDS["RS256"]()))


async def test_a_key_is_good_for_its_own_algorithm_only(shared: Published) -> None:
    token = shared.sign(kid="RS256", algorithm="PS256")

    with pytest.raises(Unauthorized, match="does not match the key's algorithm"):
        await _issuer(shared).person(token)


async def test_a_shared_secret_that_an_issuer_publishes_by_mistake_signs_nothing(own: Published) -> None:
    own.documents[KEYS]["keys"].append({"kty": "oct", "kid": "oops", "alg": "HS256", "k": _b64({"secret": "x" * 40})})
    forged = own.sign(kid="oops", algorithm="HS256", key=b"x" * 40)

    with pytest.raises(Unauthorized):
        await _issuer(own).person(forged)


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "eyJ.eyJ.x", "é.é.é", "[" * 60_000, "." * 9])
async def test_what_is_no_token_is_refused(shared: Published, token: str) -> None:
    with pytest.raises(Unauthorized):
        await _issuer(shared).person(token)


async def test_a_header_nested_without_end_is_refused(shared: Published) -> None:
    header = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 40_000).rstrip(b"=").decode()

    with pytest.raises(Unauthorized):
        await _issuer(shared).person(f"{header}.e30.e30")


@pytest.mark.parametrize("kid", [None, 7, ["RS256"]])
async def test_a_token_must_name_its_key(shared: Published, kid: Any) -> None:
    header = {"alg": "RS256"} if kid is None else {"alg": "RS256", "kid": kid}

    with pytest.raises(Unauthorized):
        await _issuer(shared).person(f"{_b64(header)}.{_b64({})}.e30")


async def test_an_unknown_key_is_looked_for_once_and_not_again_for_a_while(own: Published) -> None:
    issuer = _issuer(own)
    await issuer.person(own.sign())
    unknown = jwt.encode({"sub": "x"}, own.private["RS256"], algorithm="RS256", headers={"kid": "gone"})

    for _ in range(5):
        with pytest.raises(Unauthorized, match="Unable to find a signing key"):
            await issuer.person(unknown)

    assert own.asked == [DISCOVERY, KEYS], "the keys are a moment old: a stranger's key id fetches them no more"


async def test_a_new_key_is_found_when_the_issuer_changes_it(own: Published) -> None:
    issuer = _issuer(own)
    await issuer.person(own.sign())
    assert issuer._keys is not None
    issuer._keys.cooldown_duration = 0  # as after half a minute
    own.publish("next", "ES256")

    assert (await issuer.person(own.sign(kid="next", algorithm="ES256"))).name == "oidc:ann"


async def test_keys_are_kept_and_read_once_for_many_requests(own: Published) -> None:
    issuer = _issuer(own)
    tokens = [own.sign(kid=kid) for kid in KINDS] * 5

    people = await asyncio.gather(*(issuer.person(token) for token in tokens))

    assert {person.name for person in people} == {"oidc:ann"}
    assert own.asked == [DISCOVERY, KEYS]


async def test_where_the_keys_are_is_read_anew_once_an_hour(own: Published) -> None:
    clock = Hand()
    issuer = _issuer(own, clock)
    await issuer.person(own.sign())
    own.documents["/moved"] = own.documents.pop(KEYS)
    own.documents[DISCOVERY]["jwks_uri"] = f"{own.url}/moved"

    clock.seconds += DISCOVERY_S
    assert issuer._keys is not None
    assert issuer._keys.jwk_set_cache is not None
    issuer._keys.jwk_set_cache.put(None)  # as after KEYS_S

    assert DISCOVERY_S > KEYS_S
    assert (await issuer.person(own.sign())).name == "oidc:ann"
    assert own.asked[2:] == [DISCOVERY, "/moved"]


async def test_keys_stay_known_when_they_are_where_they_were_an_hour_ago(own: Published) -> None:
    clock = Hand()
    issuer = _issuer(own, clock)
    await issuer.check()
    keys = issuer._keys

    clock.seconds += DISCOVERY_S
    await issuer.check()

    assert issuer._keys is keys
    assert own.asked == [DISCOVERY, KEYS, DISCOVERY]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ({DISCOVERY: None}, "503"),
        ({DISCOVERY: b"<html>"}, "Expecting value"),
        ({DISCOVERY: ["x"]}, "names another issuer"),
        ({DISCOVERY: {"issuer": "https://evil.example", "jwks_uri": "https://evil.example/keys"}}, "another issuer"),
        ({KEYS: None}, "503"),
        ({KEYS: b"<html>"}, "Expecting value"),
        ({KEYS: {"keys": []}}, "keys"),
    ],
)
async def test_an_issuer_that_can_not_be_asked_lets_nobody_in_and_says_so(
    own: Published, spoil: dict[str, Any], why: str
) -> None:
    token = own.sign()
    own.documents.update(spoil)

    with pytest.raises(SignInUnavailable, match=rf"the issuer {own.url} can't be asked for its keys .*{why}"):
        await _issuer(own).person(token)


@pytest.mark.parametrize("uri", [None, 7, "http://evil.example/keys", "file:///etc/passwd", "keys"])
async def test_keys_are_read_over_https_or_on_this_machine_only(own: Published, uri: Any) -> None:
    own.documents[DISCOVERY]["jwks_uri"] = uri

    with pytest.raises(SignInUnavailable, match="its jwks_uri is no https address"):
        await _issuer(own).person(own.sign())


async def test_an_issuer_that_is_away_is_left_alone_for_a_moment_then_asked_again(own: Published) -> None:
    clock = Hand()
    issuer = _issuer(own, clock)
    found = own.documents.pop(DISCOVERY)
    token = own.sign()

    for _ in range(3):
        with pytest.raises(SignInUnavailable, match="try again later"):
            await issuer.person(token)
    assert own.asked == [DISCOVERY]
    own.documents[DISCOVERY] = found
    clock.seconds += PAUSE_S

    assert (await issuer.person(token)).name == "oidc:ann"


async def test_who_holds_a_token_of_a_known_key_is_let_in_while_the_issuer_is_away(own: Published) -> None:
    issuer = _issuer(own)
    await issuer.person(own.sign())
    own.documents.clear()
    assert issuer._keys is not None
    issuer._keys.cooldown_duration = 0
    stranger = jwt.encode({"sub": "x"}, own.private["RS256"], algorithm="RS256", headers={"kid": "gone"})

    with pytest.raises(SignInUnavailable):
        await issuer.person(stranger)

    assert (await issuer.person(own.sign())).name == "oidc:ann"


async def test_nothing_answers_where_no_issuer_is() -> None:
    with published() as gone:
        token = gone.sign()

    with pytest.raises(SignInUnavailable, match="Connection refused"):
        await _issuer(gone).person(token)


async def test_a_check_of_the_issuer_reads_its_keys(own: Published) -> None:
    await _issuer(own).check()
    assert own.asked == [DISCOVERY, KEYS]
    del own.documents[KEYS]

    with pytest.raises(SignInUnavailable):
        await _issuer(own).check()
