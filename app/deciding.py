"""What a person may see and decide, whichever way they do: command line, pages, programs, runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.lifespan import Opened
from checkpoints.inbox import Kind, PostgresInbox
from graph.approvals import Approval
from graph.errors import AlreadyDecided, Forbidden, InvalidDecision, NotFound
from graph.people import Person
from nodes.decisions import checked
from services import rights


async def allowed(opened: Opened, person: Person, row: Approval, decision: Mapping[str, Any]) -> dict[str, Any]:
    """The decision as it may be recorded: this person may take it, and it fits the call.

    In that order: what does not fit is told with words from the call and from others before it.

    Raises:
        Forbidden, InvalidDecision: one of the two does not hold.
    """
    if why := rights.refusal(person, row, str(decision["type"]), opened.settings.policy):
        raise Forbidden(why)
    return await checked(row, decision, opened.services.tools)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The approvals as one person sees them."""

    opened: Opened
    person: Person

    @property
    def inbox(self) -> PostgresInbox:
        """The lists."""
        return PostgresInbox(self.opened.pool, person=self.person.name)

    async def kinds(self, *, status: str | None = "pending") -> Sequence[Kind]:
        """What this person may see, by kind."""
        policy = self.opened.settings.policy
        found = await self.inbox.kinds(status=status)
        return [kind for kind in found if rights.visible(self.person, kind.sample, policy)]

    async def find(self, approval_id: str) -> Approval:
        """An approval.

        Raises:
            NotFound: there is none, or none this person may see: nobody is told which.
        """
        known = approval_id.isprintable()  # Postgres refuses what is no text
        for row in await self.opened.approvals.get_all([approval_id]) if known else ():
            if rights.visible(self.person, row, self.opened.settings.policy):
                return row
        raise NotFound("approval", approval_id[:100], "it may have been asked of somebody else")

    async def choices(self, row: Approval) -> dict[str, str | None]:
        """The decisions this row can take now, each with why this person may not take it; None when they may."""
        open_ones = row.choices if row.status == "pending" else await self._left(row)
        if row.risk == "critical":  # a `respond` to it is a `done`
            open_ones = tuple(kind for kind in open_ones if kind != "respond")
        return {kind: self._refusal(row, kind) for kind in open_ones}

    async def decide(self, row: Approval, decision: Mapping[str, Any]) -> Approval:
        """Take a decision.

        Raises:
            AlreadyDecided: someone else was first.
            Forbidden: this person may not.
            InvalidDecision: this approval can't be decided so.
        """
        if not isinstance(decision.get("type"), str) or not isinstance(decision.get("message") or "", str):
            raise InvalidDecision(f"a decision has a type (one of {', '.join(row.choices)}) and may have a message")
        if row.status != "pending" and not await self._left(row):
            raise AlreadyDecided(row)
        wanted = await allowed(self.opened, self.person, row, decision)
        return await self.opened.approvals.decide(row.id, wanted, by=self.person.name)

    async def _left(self, row: Approval) -> tuple[str, ...]:
        """What can still be said of an effect in doubt when its run was stopped."""
        if row.status != "cancelled" or not row.effect_key:
            return ()
        effects = await self.opened.ledger.of_thread(row.thread_id)
        doubtful = any(one["key"] == row.effect_key and one["state"] == "unknown" for one in effects)
        return ("done", "abandon") if doubtful else ()

    def _refusal(self, row: Approval, kind: str) -> str | None:
        return rights.refusal(self.person, row, kind, self.opened.settings.policy)
