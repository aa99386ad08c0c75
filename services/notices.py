"""What is told of a new approval: the webhook's text and signature, and the mail.

The call's arguments are in neither: they may be private, and a receiver is not asked who reads there. The page behind
the link shows them to whoever may decide.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from standardwebhooks import Webhook as Signer

from graph.approvals import Approval
from services.invisible import without_invisible

REQUESTED = "approval.requested"
LONGEST = 1_000
"""Characters of a reason that are told."""

MAIL = """\
{tool} waits for a decision.

Tier:      {risk}
Reason:    {reason}
Asked by:  {requester}
Deadline:  {deadline}
Thread:    {thread}

Decide: {link}

The page shows the call's arguments; they are not in this mail.
"""


def link_to(approval_id: str, *, base: str) -> str:
    """The approval's page."""
    return f"{base}/inbox/{approval_id}"


def payload(row: Approval, *, base: str) -> str:
    """What the webhook is told, as JSON: {"type", "timestamp", "data": {"id", "thread_id", "tool", "risk", "reason",
    "requester", "deadline" | null, "link"}}; times are ISO 8601, UTC.
    """  # noqa: D205 - a shape is no sentence
    return json.dumps(
        {
            "type": REQUESTED,
            "timestamp": _iso(row.created_at),
            "data": {
                "id": row.id,
                "thread_id": row.thread_id,
                "tool": row.tool,
                "risk": row.risk,
                "reason": one_line(row.reason),
                "requester": row.requester,
                "deadline": _iso(row.deadline),
                "link": link_to(row.id, base=base),
            },
        }
    )


def signed(body: str, *, message_id: str, key: bytes, now: datetime) -> dict[str, str]:
    """The headers that vouch for the body, by the Standard Webhooks specification 1.0; `now` is in UTC."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(key).sign(message_id, now, body),
    }


def mail(row: Approval, *, base: str, sender: str, to: Sequence[str], now: datetime) -> bytes:
    """The mail, the same for all it goes to. Its Message-ID is the approval's: a repeat can be told."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = f"Ballast <{sender}>", ", ".join(to)
    message["Subject"] = f"Approval needed: {one_line(row.tool)} ({row.risk})"
    message["Date"], message["Message-ID"] = format_datetime(now), f"<{row.id}@ballast>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is to be answered to it
    message.set_content(
        MAIL.format(
            tool=one_line(row.tool),
            risk=row.risk,
            reason=one_line(row.reason),
            requester=one_line(row.requester) or "not known",
            deadline=_until(row.deadline),
            thread=one_line(row.thread_id),
            link=link_to(row.id, base=base),
        )
    )
    return message.as_bytes()


def one_line(text: str) -> str:
    """Text from models, tools and files as it may stand in a header or a list: nothing in it ends its line."""
    return " ".join(without_invisible(text).split())[:LONGEST]


def _iso(when: datetime | None) -> str | None:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z") if when else None


def _until(deadline: datetime | None) -> str:
    if deadline is None:
        return "none, it waits until someone decides"
    return f"{deadline.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, then it goes out by itself unless cancelled"
