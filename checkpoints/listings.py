"""What was approved of MCP servers: each one's listing, and whether it has held to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from checkpoints.database import Pool
from checkpoints.outage import patient

ALL = "SELECT server, digest, tools, approved_by, approved_at, cut_off_at FROM mcp_listings"
ONE = f"{ALL} WHERE server = %s"
APPROVE = """
INSERT INTO mcp_listings (server, digest, tools, approved_by) VALUES (%(server)s, %(digest)s, %(tools)s, %(by)s)
ON CONFLICT (server) DO UPDATE SET digest = %(digest)s, tools = %(tools)s, approved_by = %(by)s,
    approved_at = now(), cut_off_at = NULL
"""
# Of the listing that was held against it: another one may have been approved meanwhile.
CUT_OFF = "UPDATE mcp_listings SET cut_off_at = coalesce(cut_off_at, now()) WHERE server = %s AND digest = %s"


@dataclass(frozen=True, kw_only=True)
class Approved:
    """The listing of a server that a person approved last."""

    server: str
    digest: str
    tools: str
    """See `tools.mcp_listing.Listing.text`."""
    approved_by: str
    approved_at: datetime
    cut_off_at: datetime | None
    """When the server was first seen to list something else."""


class PostgresListings:
    """The approved listings of a database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @patient
    async def all(self) -> Mapping[str, Approved]:
        """By the server's name."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approved))
            await cursor.execute(ALL)
            return {one.server: one for one in await cursor.fetchall()}

    @patient
    async def of(self, server: str) -> Approved | None:
        """The server's; None when none was ever approved."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approved))
            await cursor.execute(ONE, (server,))
            return await cursor.fetchone()

    async def approve(self, server: str, *, digest: str, tools: str, by: str) -> None:
        """From now on the server is held to this listing."""
        async with self._pool.connection() as connection:
            await connection.execute(APPROVE, {"server": server, "digest": digest, "tools": tools, "by": by})

    async def cut_off(self, server: str, digest: str) -> None:
        """Nothing of the server is offered until a person approves what it lists now, or lists then."""
        async with self._pool.connection() as connection:
            await connection.execute(CUT_OFF, (server, digest))
