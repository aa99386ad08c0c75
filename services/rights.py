"""Who may take which decision: by role, tier and tool, and who asked."""

from __future__ import annotations

from typing import Protocol

from graph.approvals import Approval
from graph.people import ROLES, Person, Role
from graph.state import Risk

DECIDERS: frozenset[Role] = frozenset({"approver", "admin"})
"""The roles that decide others' calls where the policy names none."""

GIVEN_UP = ("reject", "cancel")
"""What the one who asked may always say."""

NEEDS_FOUR_EYES = ("approve", "edit", "respond", "retry", "done")
"""What makes a call happen, or the agent believe that it did."""


class Policy(Protocol):
    """What the rights ask of a policy. `services/policy.py`."""

    def approvers(self, tool: str, risk: Risk) -> frozenset[Role] | None:
        """The roles that may decide this tool's calls of this tier; None when the policy does not say."""
        ...

    def four_eyes(self, tool: str) -> bool:
        """Whether another than who asked must decide this tool's calls."""
        ...


def refusal(person: Person, approval: Approval, kind: str, policy: Policy) -> str | None:
    """Why this person may not take this decision; None when they may.

    `kind` is the type of the decision: approve, edit, reject, respond, cancel, done, retry or abandon. Who asked may
    always give up. Four eyes bind every role; else an admin decides everything, others by what the policy says, and
    where it says nothing approvers decide all and who asked what is below high.
    """
    asked = _asked(person, approval)
    if asked and kind in GIVEN_UP:
        return None
    if kind in NEEDS_FOUR_EYES and policy.four_eyes(approval.tool):
        if not approval.requester:
            return f"{approval.tool} needs four eyes, and who asked for this call is not known: reject or cancel it"
        if asked or person.name in approval.authors:
            return f"{approval.tool} needs four eyes: {person.name} had a hand in it, so somebody else must {kind} it"
    if person.role == "admin":
        return None
    named = policy.approvers(approval.tool, approval.risk)
    deciders = DECIDERS if named is None else named
    if person.role in deciders or (asked and named is None and approval.risk in {"low", "medium"}):
        return None
    allowed = " or ".join(role for role in ROLES if role in deciders | {"admin"})
    return f"{approval.tool} ({approval.risk}) is decided by {allowed}: {person.name} is {person.role}"


def visible(person: Person, approval: Approval, policy: Policy) -> bool:
    """Whether this person may see the approval: they asked, or may decide it one way or another."""
    return _asked(person, approval) or any(refusal(person, approval, kind, policy) is None for kind in approval.choices)


def _asked(person: Person, approval: Approval) -> bool:
    return bool(approval.requester) and approval.requester == person.name
