"""What a person is asked, and the rows that hold what was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """`pending`, or what was decided: approved, edited, rejected, responded, cancelled, done."""
    decision: dict[str, Any] | None = None
    """{"type", "args"?, "message"?} as it was taken."""
    decided_by: str | None = None
    decided_at: datetime | None = None
    applied_at: datetime | None = None
    """When a run took the decision over; None before that."""
    created_at: datetime | None = None

    def allows(self, call: Call, thread_id: str) -> bool:
        """Whether this decision lets exactly this call of this thread run. Nothing lets a critical one run."""
        granted = self.decision["args"] if self.status == "edited" and self.decision else self.args
        return (
            self.status in ("approved", "edited")
            and self.risk != "critical"
            and (self.thread_id, self.call_id, self.tool, granted)
            == (thread_id, call["id"], call["name"], call["args"])
        )


@dataclass(frozen=True, kw_only=True)
class Question:
    """Where in a thread a list of calls is asked about."""

    thread_id: str
    checkpoint_id: str
    interrupt_id: str
    turn: str
    """Id of the request the run works on."""
    deadline: datetime
    """For the medium-risk calls among them."""


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
        """Take a decision if none was taken yet.

        Raises:
            AlreadyDecided: someone else was first.
            InvalidDecision: this tier or tool does not allow it.
            NotFound: there is no such approval.
        """
        ...

    async def get_all(self, approval_ids: Sequence[str]) -> list[Approval]:
        """These rows, in this order; unknown ids are left out."""
        ...

    async def asked_by(
        self, thread_id: str, *, interrupt_ids: Sequence[str] | None = None, checkpoint_id: str | None = None
    ) -> list[Approval]:
        """The rows an answer is about: asked under these interrupts, or shown at this checkpoint, or shown last."""
        ...

    async def times_asked(self, thread_id: str) -> int:
        """How many lists were shown since the thread's last request: one is what a bare answer can mean."""
        ...

    async def apply(self, approval_ids: Sequence[str]) -> None:
        """Note that a run has taken these decisions over: a replay asks anew."""
        ...

    async def close(self, thread_id: str) -> None:
        """Mark what is still pending as cancelled: the run it belongs to has ended."""
        ...
