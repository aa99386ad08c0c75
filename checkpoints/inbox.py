"""Approvals as they are listed: by kind, so that rights are asked once a kind, and page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg.rows import class_row, dict_row

from checkpoints.approval_statements import COLUMNS
from checkpoints.database import Pool
from checkpoints.outage import patient
from graph.approvals import Approval

MATCHES: LiteralString = "(%(status)s::text IS NULL OR status = %(status)s)"
# Rights look at tool, tier, whether it is in doubt, and who asked. `min(id)` is any row of the kind.
SAMPLE: LiteralString = ", ".join(f"a.{name}" for name in COLUMNS.split(", "))
KINDS: LiteralString = f"""
WITH kinds AS (
    SELECT min(id) AS sample, count(*) AS count FROM approvals
    WHERE {MATCHES} GROUP BY tool, risk, effect_key IS NULL, requester = %(person)s, requester = ''
)
SELECT {SAMPLE}, kinds.count AS kind_count, now() AS at
FROM kinds JOIN approvals a ON a.id = kinds.sample
"""  # noqa: S608 - constants
OF_KINDS: LiteralString = f"""
    {MATCHES} AND (tool, risk, effect_key IS NULL, requester = %(person)s, requester = '') IN (
        SELECT * FROM unnest(
            %(tools)s::text[], %(risks)s::text[], %(fresh)s::bool[], %(own)s::bool[], %(nobody)s::bool[]
        )
    )
"""  # noqa: S608 - constants
OLDEST_FIRST: LiteralString = f"""
SELECT {COLUMNS} FROM approvals WHERE {OF_KINDS} AND (%(beyond)s::text IS NULL OR (created_at, position) >
    (SELECT created_at, position FROM approvals WHERE id = %(beyond)s))
ORDER BY created_at, position LIMIT %(limit)s
"""  # noqa: S608 - constants
NEWEST_FIRST: LiteralString = f"""
SELECT {COLUMNS} FROM approvals WHERE {OF_KINDS} AND (%(beyond)s::text IS NULL OR (created_at, position) <
    (SELECT created_at, position FROM approvals WHERE id = %(beyond)s))
ORDER BY created_at DESC, position DESC LIMIT %(limit)s
"""  # noqa: S608 - constants


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Approvals that the rights treat alike."""

    sample: Approval
    count: int
    at: datetime
    """The clock that deadlines are set by, as it was asked."""


class PostgresInbox:
    """The lists, over a pool, as one person sees them."""

    def __init__(self, pool: Pool, *, person: str) -> None:
        self._pool, self._person = pool, person

    @patient
    async def kinds(self, *, status: str | None = "pending") -> list[Kind]:
        """What there is to see, one entry a kind."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(KINDS, {"status": status, "person": self._person})
            rows = await cursor.fetchall()
        return [Kind(count=row.pop("kind_count"), at=row.pop("at"), sample=Approval(**row)) for row in rows]

    @patient
    async def page(
        self,
        kinds: Sequence[Kind],
        *,
        limit: int,
        beyond: str | None = None,
        status: str | None = "pending",
        newest_first: bool = False,
    ) -> list[Approval]:
        """At most `limit` rows of these kinds, those after the row called `beyond`; none when there is no such row."""
        samples = [kind.sample for kind in kinds]
        values = {
            "status": status,
            "person": self._person,
            "beyond": beyond,
            "limit": limit,
            "tools": [one.tool for one in samples],
            "risks": [one.risk for one in samples],
            "fresh": [one.effect_key is None for one in samples],
            "own": [one.requester == self._person for one in samples],
            "nobody": [one.requester == "" for one in samples],
        }
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Approval))
            await cursor.execute(NEWEST_FIRST if newest_first else OLDEST_FIRST, values)
            return await cursor.fetchall()
