"""Whether an argument's value was used before, for tiers that depend on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg.types.json import Json

from checkpoints.database import Connection
from checkpoints.ledger import storable
from checkpoints.outage import patient

# What a person reports to have done in the agent's place (a call of the critical tier) was done too, else such a call
# would be the first of its kind for ever. A digest that can't be made is NULL, which overlaps nothing: not seen.
SEEN = """
WITH wanted AS (
    SELECT argument_digests(%(tool)s, json_build_object(%(argument)s::text, %(value)s::json)) AS digests
)
SELECT EXISTS (
    SELECT 1 FROM effects
    WHERE state = 'done' AND argument_digests(tool, args) && (SELECT digests FROM wanted)
) OR EXISTS (
    SELECT 1 FROM approvals
    WHERE status = 'done' AND effect_key IS NULL AND argument_digests(tool, args) && (SELECT digests FROM wanted)
) AS seen
"""


class Seen:
    """Implements `tools.base.Lookup` over the effects of all threads."""

    def __init__(self, connection: Callable[[], AbstractAsyncContextManager[Connection]]) -> None:
        self._connection = connection

    @patient
    async def seen(self, tool: str, argument: str, value: Any) -> bool:
        """See `tools.base.Lookup.seen`."""
        wanted = {"tool": tool, "argument": argument, "value": Json(storable(value))}
        async with self._connection() as connection:
            row = await (await connection.execute(SEEN, wanted)).fetchone()
        return bool(row and row["seen"])
