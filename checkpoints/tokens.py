"""Bearer tokens: made once, shown once, kept as a hash. Postgres' clock says when one has expired."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

from psycopg.rows import class_row

from checkpoints.database import Pool
from checkpoints.outage import patient
from graph.errors import BadSetting, NotFound, Unauthorized
from graph.people import Role

PREFIX = "bal_"
"""How every token begins, so that a search for leaked ones finds it."""

DAYS = 90
MOST_DAYS = 3650

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
"""No colon: the names an OIDC issuer vouches for have one."""

OURS = frozenset({"ballast", "client", "timer"})
"""What stands in records where no person does: Ballast itself, a sender nobody identified, a deadline."""

COLUMNS: LiteralString = (
    "id, name, role, created_at, expires_at, revoked_at, last_used_at, expires_at <= now() AS expired"
)

CREATE: LiteralString = f"""
INSERT INTO tokens (id, sha256, name, role, expires_at) VALUES (%s, %s, %s, %s, now() + %s) RETURNING {COLUMNS}
"""  # noqa: S608 - COLUMNS is a constant
# Noted at most once a minute: a busy client's every request would write the same row.
USE: LiteralString = f"""
WITH used AS (
    UPDATE tokens SET last_used_at = now()
    WHERE sha256 = %(sha256)s AND revoked_at IS NULL AND expires_at > now()
      AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
)
SELECT {COLUMNS} FROM tokens WHERE sha256 = %(sha256)s
"""  # noqa: S608 - as above
LIST: LiteralString = f"SELECT {COLUMNS} FROM tokens ORDER BY created_at, id"  # noqa: S608 - as above
REVOKE: LiteralString = f"""
UPDATE tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s RETURNING {COLUMNS}
"""  # noqa: S608 - as above
ANY = "SELECT EXISTS (SELECT 1 FROM tokens WHERE revoked_at IS NULL) AS any"


@dataclass(frozen=True, kw_only=True)
class Token:
    """What is known of a token. Not the token itself."""

    id: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    expired: bool

    @property
    def status(self) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expired else "valid"


class PostgresTokens:
    """The tokens of a database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, name: str, role: Role, *, days: int = DAYS) -> tuple[Token, str]:
        """A new token, and its secret: nobody can read that again.

        Raises:
            BadSetting: the name or the number of days does not hold.
        """
        if not NAME.fullmatch(name) or name in OURS:
            raise BadSetting(
                "a token's NAME is 1 to 100 of A-Z a-z 0-9 . _ @ + -, begins with a letter or digit, and is none of "
                f"{', '.join(sorted(OURS))}: got {name!r:.120}"
            )
        if not 1 <= days <= MOST_DAYS:
            raise BadSetting(f"--days must be a whole number from 1 to {MOST_DAYS}, got {days}")
        secret = PREFIX + secrets.token_urlsafe(32)
        values = (f"tk-{secrets.token_hex(6)}", _sha256(secret), name, role, timedelta(days=days))
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Token))
            await cursor.execute(CREATE, values)
            [token] = await cursor.fetchall()
        return token, secret

    @patient
    async def use(self, secret: str) -> Token:
        """The token with this secret, which may still be used; that it was is noted.

        Raises:
            Unauthorized: there is none, or it has expired or was revoked.
        """
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Token))
            await cursor.execute(USE, {"sha256": _sha256(secret)})
            token = await cursor.fetchone()
        if token is None:
            raise Unauthorized("this token is not known here")
        if token.status != "valid":
            ended = token.revoked_at or token.expires_at
            raise Unauthorized(
                f"token {token.id} {'was revoked' if token.revoked_at else 'expired'} on {ended:%Y-%m-%d}: "
                "ask an admin for another"
            )
        return token

    @patient
    async def list(self) -> Sequence[Token]:
        """All of them, oldest first, those that can't be used any more included."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Token))
            await cursor.execute(LIST)
            return await cursor.fetchall()

    async def revoke(self, token_id: str) -> Token:
        """Let nobody in by it from now on. One that was revoked stays as it is.

        Raises:
            NotFound: there is none with this id.
        """
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Token))
            await cursor.execute(REVOKE, (token_id,))
            token = await cursor.fetchone()
        if token is None:
            raise NotFound("token", token_id, "see 'ballast token list'")
        return token

    @patient
    async def asked_for(self) -> bool:
        """Whether this server asks for tokens: somebody was given one, and it was not revoked.

        One that has expired counts. Time that passes must not open a server.
        """
        async with self._pool.connection() as connection:
            row = await (await connection.execute(ANY)).fetchone()
        return bool(row and row["any"])


def _sha256(secret: str) -> bytes:
    """Random bytes need no salt and no slow hash: there is nothing to guess."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()
