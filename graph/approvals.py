"""What a person is asked, and the rows that hold what was decided."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from graph.state import Call, Risk


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One call that needs a person. The row is the authority on what was decided."""

    id: str
    thread_id: str
    interrupt_id: str
    call_id: str
    tool: str
    args: dict[str, Any]
    risk: Risk
    reason: str
    deadline: datetime | None
    """When a medium-risk action goes out by itself; None for other tiers."""
    status: str
    """`pending`, or what became of it: approved, edited, rejected, responded, cancelled, done, retried, abandoned,
    expired."""
    decision: dict[str, Any] | None = None
    """{"type", "args"?, "message"?} as it was taken. On an effect that was in doubt no longer, `ledger` says how
    it stood: that is the truth, whatever was decided."""
    decided_by: str | None = None
    decided_at: datetime | None = None
    applied_at: datetime | None = None
    """When a run took the decision over; None before that."""
    created_at: datetime | None = None
    effect_key: str | None = None
    """The effect in doubt that is asked about; None for a call that has not run."""
    effect_holder: str | None = None
    """The attempt at it that is in doubt: a decision settles no later one."""
    requester: str = ""
    """Who sent the request the call belongs to; empty when that is not known."""
    authors: list[str] = field(default_factory=list)
    """All who had a hand in the thread until the call was asked about: who sent requests or edited its state."""
    origins: dict[str, list[str]] | None = None
    """For each argument where its value was found, in words for a person."""

    @property
    def choices(self) -> tuple[str, ...]:
        """The decisions this row can take."""
        if self.effect_key:
            return ("done", "abandon", "cancel") if self.risk == "critical" else ("done", "retry", "abandon", "cancel")
        if self.risk == "critical":
            return ("done", "reject", "respond", "cancel")
        return ("approve", "edit", "reject", "respond", "cancel")

    @property
    def releases(self) -> bool:
        """Whether the call goes (back) to `act`: to run, or to be given the result the ledger has of it."""
        # Done: there is a result. Unknown: another attempt is in doubt now, which `act` will find and have asked.
        ledger = (self.decision or {}).get("ledger")
        decided = ledger in ("done", "unknown") or self.status in ("approved", "edited", "retried")
        return self.risk != "critical" and decided

    def allows(self, call: Call, thread_id: str) -> bool:
        """Whether this decision lets exactly this call of this thread run. Nothing lets a critical one run."""
        granted = self.decision["args"] if self.status == "edited" and self.decision else self.args
        return (
            self.releases
            and (self.thread_id, self.call_id, self.tool, self.effect_key)
            == (thread_id, call["id"], call["name"], call.get("effect_key"))
            and same_arguments(granted, call["args"])
        )


def same_arguments(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """As JSON: to Python `True`, `1` and `1.0` are equal, to a tool they are not."""
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


@dataclass(frozen=True, kw_only=True)
class Question:
    """Where in a thread a list of calls is asked about."""

    thread_id: str
    checkpoint_id: str
    interrupt_id: str
    turn: str
    """Id of the request the run works on."""
    window_s: float
    """How long the medium-risk calls among them wait before they go out, in seconds."""
    origins: Mapping[str, dict[str, list[str]]] = field(default_factory=dict)
    """By call id, where the value of each argument was found."""


class Approvals(Protocol):
    """The approval rows. `checkpoints/approvals.py`."""

    async def ask(self, calls: Sequence[Call], question: Question) -> list[Approval]:
        """Upsert a row for each call and fix the list shown at this checkpoint; return that list.

        Asked again at the same checkpoint it returns the same list, with the rows as they stand now. Asked
        at another one (a new message arrived, or only some calls were decided), a call keeps its row until a
        run has applied the decision on it. Rows of the thread that are no longer asked about are closed.
        """
        ...

    async def decide(self, approval_id: str, decision: Mapping[str, Any], *, by: str) -> Approval:
        """Take a decision if none was taken yet; one on an effect in doubt settles the ledger with it.

        A worker or server goes on with the thread.

        Raises:
            AlreadyDecided: someone else was first.
            InvalidDecision: this tier or tool does not allow it.
            NotFound: there is no such approval.
        """
        ...

    async def get_all(self, approval_ids: Sequence[str]) -> list[Approval]:
        """These rows, in this order; unknown ids are left out."""
        ...

    async def find(self, *, thread_id: str | None = None, pending: bool = False) -> list[Approval]:
        """Rows of one thread or of all, pending ones first, then the oldest first."""
        ...

    async def asked_by(
        self, thread_id: str, *, interrupt_ids: Sequence[str] | None = None, checkpoint_id: str | None = None
    ) -> list[Approval]:
        """The rows an answer is about, as listed: under these interrupts, at this checkpoint, or shown last."""
        ...

    async def times_asked(self, thread_id: str) -> int:
        """How many lists a page may still show: one is what a bare answer can mean.

        Those since the thread's last request, and of the turns before it those that the open calls come from.
        """
        ...

    async def apply(self, approval_ids: Sequence[str]) -> None:
        """Note that a run has taken these decisions over: a replay asks anew."""
        ...

    async def close(self, thread_id: str) -> None:
        """Mark what is still pending as cancelled: the run it belongs to has ended."""
        ...
