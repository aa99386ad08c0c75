"""Bearer tokens in a real Postgres, whose clock ends them."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import Any

import pytest

from checkpoints.database import Pool
from checkpoints.tokens import PREFIX, PostgresTokens, Token
from graph.errors import BadSetting, NotFound, Unauthorized


@pytest.fixture
def tokens(pool: Pool) -> PostgresTokens:
    return PostgresTokens(pool)


async def _rows(pool: Pool, statement: str) -> list[dict[str, Any]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


async def test_a_token_lets_its_holder_in_until_it_expires(pool: Pool, tokens: PostgresTokens) -> None:
    made, secret = await tokens.create("ann", "approver", days=1)

    used = await tokens.use(secret)

    assert (used.id, used.name, used.role, used.status) == (made.id, "ann", "approver", "valid")
    assert made.expires_at - made.created_at == timedelta(days=1)
    await _rows(pool, "UPDATE tokens SET expires_at = now()")
    with pytest.raises(Unauthorized, match=rf"token {made.id} expired on \d{{4}}-\d\d-\d\d: ask an admin for another"):
        await tokens.use(secret)


async def test_a_token_is_random_marked_and_kept_as_its_hash_only(pool: Pool, tokens: PostgresTokens) -> None:
    secrets = [(await tokens.create("ann", "user"))[1] for _ in range(3)]

    stored = await _rows(pool, "SELECT tokens::text AS whole, sha256 FROM tokens ORDER BY created_at")

    assert len(set(secrets)) == 3
    assert all(re.fullmatch(rf"{PREFIX}[\w-]{{43}}", secret) for secret in secrets)  # 32 bytes
    assert [row["sha256"] for row in stored] == [hashlib.sha256(secret.encode()).digest() for secret in secrets]
    assert not any(secret.removeprefix(PREFIX) in row["whole"] for secret in secrets for row in stored)


@pytest.mark.parametrize("shown", ["bal_", "bal_x", "", "ünïcode\ud800", "bal_" + "x" * 10_000])
async def test_what_was_never_given_out_lets_nobody_in(tokens: PostgresTokens, shown: str) -> None:
    await tokens.create("ann", "admin")

    with pytest.raises(Unauthorized, match="this token is not known here"):
        await tokens.use(shown)


async def test_the_id_and_the_hash_are_no_tokens(tokens: PostgresTokens) -> None:
    made, secret = await tokens.create("ann", "admin")

    for shown in (made.id, hashlib.sha256(secret.encode()).hexdigest(), secret[:-1], secret + "x", secret.upper()):
        with pytest.raises(Unauthorized):
            await tokens.use(shown)


async def test_a_revoked_token_lets_nobody_in_from_then_on_and_stays_revoked(tokens: PostgresTokens) -> None:
    made, secret = await tokens.create("ann", "admin")
    _, other = await tokens.create("ann", "admin")

    first = await tokens.revoke(made.id)
    again = await tokens.revoke(made.id)

    assert first.status == "revoked"
    assert again.revoked_at == first.revoked_at
    with pytest.raises(Unauthorized, match=f"token {made.id} was revoked on"):
        await tokens.use(secret)
    assert (await tokens.use(other)).name == "ann"


async def test_there_is_nothing_to_revoke_under_another_id(tokens: PostgresTokens) -> None:
    with pytest.raises(NotFound, match="no token 'tk-0': see 'ballast token list'"):
        await tokens.revoke("tk-0")


async def _used_at(tokens: PostgresTokens) -> Any:
    [token] = await tokens.list()
    return token.last_used_at


async def test_use_is_noted_at_most_once_a_minute(pool: Pool, tokens: PostgresTokens) -> None:
    _, secret = await tokens.create("ann", "user")
    assert await _used_at(tokens) is None

    await tokens.use(secret)
    first = await _used_at(tokens)
    await tokens.use(secret)
    second = await _used_at(tokens)
    await _rows(pool, "UPDATE tokens SET last_used_at = now() - interval '61 seconds'")
    await tokens.use(secret)

    assert first is not None
    assert second == first
    assert await _used_at(tokens) > first


async def test_a_refused_use_is_not_noted(pool: Pool, tokens: PostgresTokens) -> None:
    made, secret = await tokens.create("ann", "user")
    await tokens.revoke(made.id)

    with pytest.raises(Unauthorized):
        await tokens.use(secret)

    assert await _used_at(tokens) is None


async def test_all_are_listed_oldest_first_with_how_they_stand(pool: Pool, tokens: PostgresTokens) -> None:
    made = [(await tokens.create(name, "user"))[0] for name in ("ann", "bob", "eve")]
    await tokens.revoke(made[0].id)
    await _rows(pool, f"UPDATE tokens SET expires_at = now() WHERE id = '{made[1].id}'")  # noqa: S608 - our own id

    listed: list[Token] = list(await tokens.list())

    told = [(one.id, one.name, one.status) for one in listed]
    assert told == [(made[0].id, "ann", "revoked"), (made[1].id, "bob", "expired"), (made[2].id, "eve", "valid")]


async def test_tokens_are_asked_for_from_the_first_one_until_all_are_revoked(
    pool: Pool, tokens: PostgresTokens
) -> None:
    """Not until they expire: a server must not open because time has passed."""
    assert not await tokens.asked_for()
    made, _ = await tokens.create("ann", "user")
    assert await tokens.asked_for()
    await _rows(pool, "UPDATE tokens SET expires_at = now()")
    assert await tokens.asked_for()

    await tokens.revoke(made.id)

    assert not await tokens.asked_for()


@pytest.mark.parametrize(
    "name", ["", " ann", "ann bob", "oidc:ann", ".ann", "ann\n", "ännä", "a" * 101, "ballast", "client", "timer", "a/b"]
)
async def test_a_name_that_is_none_or_could_be_taken_for_anothers_is_refused(tokens: PostgresTokens, name: str) -> None:
    with pytest.raises(BadSetting, match="a token's NAME is 1 to 100 of"):
        await tokens.create(name, "user")

    assert await tokens.list() == []


@pytest.mark.parametrize("name", ["a", "ann@example.com", "ci-bot_2", "Ann.B+x", "a" * 100])
async def test_people_and_programs_have_names(tokens: PostgresTokens, name: str) -> None:
    made, _ = await tokens.create(name, "user", days=3650)

    assert made.name == name


@pytest.mark.parametrize("days", [0, -1, 3651])
async def test_days_out_of_bounds_are_refused(tokens: PostgresTokens, days: int) -> None:
    with pytest.raises(BadSetting, match=f"--days must be a whole number from 1 to 3650, got {days}"):
        await tokens.create("ann", "user", days=days)
