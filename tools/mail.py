"""Mail: reading the mailbox, sending one."""

from __future__ import annotations

import asyncio
import time
from email.message import EmailMessage
from email.policy import default
from email.utils import formatdate, getaddresses
from pathlib import Path

from graph.errors import ToolFailed
from graph.state import Risk
from services.receivers import ADDRESS
from tools import delivery, letters
from tools.base import Injected, ToolContext, tool
from tools.listings import Listing

SENDER = "ballast@localhost"
MANY_RECIPIENTS = 5
LISTING_S = 20.0
"""Longest that listing the mailbox takes: what is left then is counted, not shown."""


@tool(risk="low", untrusted_output=True, idempotent=True, extract=Listing)
async def list_mail(context: Injected) -> str:
    """List the mailbox: id, sender, subject and date of each mail."""
    return await asyncio.to_thread(_listing, context.workspace)


def _listing(workspace: Path, seconds: float = LISTING_S) -> str:
    lines: list[str] = []
    ids, until = letters.ids(workspace), time.monotonic() + seconds
    for mail_id in ids:
        if time.monotonic() >= until:
            lines.append(f"[{len(ids) - len(lines)} more mails, listing them took too long: read_mail opens each]")
            break
        try:
            message = letters.listed(workspace, mail_id, heads_only=True)
        except ToolFailed as broken:
            lines.append(f"{mail_id} | {broken}")
            continue
        fields = (letters.header(message, "From"), letters.header(message, "Subject"), letters.when(message))
        lines.append(" | ".join((mail_id, *fields)))
    return "\n".join(lines) or "the mailbox is empty"


@tool(risk="low", untrusted_output=True, idempotent=True)
async def read_mail(id: str, context: Injected) -> str:  # noqa: A002 - the contract's name for it
    """Read one mail.

    Args:
        id: The mail's id, as list_mail shows it.
    """
    return await asyncio.to_thread(_whole, context.workspace, id)


def _whole(workspace: Path, mail_id: str) -> str:
    message = letters.load(workspace, mail_id)
    heads = "\n".join(f"{name}: {letters.header(message, name)}" for name in ("From", "To", "Subject", "Date"))
    with_it = "".join(f"\nAttachment: {one}" for one in letters.attachments(message))
    return f"{heads}{with_it}\n\n{letters.body(message)}"


def _many_recipients(to: str, subject: str, body: str) -> tuple[Risk, str] | None:  # noqa: ARG001 - all arguments come
    count = len(getaddresses([to]))
    return ("high", f"sends mail to {count} people at once") if count > MANY_RECIPIENTS else None


async def _was_sent(to: str, subject: str, body: str, context: ToolContext) -> str | bool | None:  # noqa: ARG001 - as above
    """By the outbox; a mail server can't be asked."""
    if context.smtp_url:
        return None
    there = await asyncio.to_thread(delivery.in_outbox, context.workspace, context.idempotency_key)
    return f"sent to {to}" if there else False


@tool(
    risk="medium",
    untrusted_output=False,
    idempotent=False,
    verify=_was_sent,
    reason="sends mail in your name",
    raise_risk=_many_recipients,
    content=("subject", "body"),
)
def send_email(to: str, subject: str, body: str, context: Injected) -> str:
    """Send one mail.

    Args:
        to: Address of the recipient; several are separated by commas.
        subject: Subject line.
        body: Text of the mail.
    """
    # No async function: a thread that it leaves behind would be unknown, and its mail no longer expected.
    addresses = _addresses(to)
    data = _compose(to, addresses, subject, body, context)
    if not context.smtp_url:
        delivery.to_outbox(context.workspace, context.idempotency_key, data)
        return f"sent to {to}"
    refused = delivery.over_smtp(context.smtp_url, SENDER, addresses, data)
    but = ", ".join(f"{address} (code {code})" for address, code in refused.items())
    return f"sent to {to}" + (f", but the mail server refused {but}" if but else "")


def _addresses(to: str) -> list[str]:
    addresses = [address for _, address in getaddresses([to])]
    if not addresses or not all(ADDRESS.fullmatch(address) for address in addresses):
        raise ToolFailed(f"{to!r} is no mail address: give name@host, several separated by commas")
    return addresses


def _compose(to: str, addresses: list[str], subject: str, body: str, context: ToolContext) -> bytes:
    """The Message-ID is the same for every attempt, so that a second delivery can be told."""
    message = EmailMessage(policy=default.clone(max_line_length=120))  # a Message-ID must not be folded
    try:
        message["From"], message["To"], message["Subject"] = SENDER, to, subject
        message["Date"], message["Message-ID"] = formatdate(), f"<{context.idempotency_key}@ballast>"
        message.set_content(body)
        written, data = [one.addr_spec for one in message["To"].addresses], message.as_bytes()
    except Exception as error:  # noqa: BLE001 - the library raises anything; nothing was sent, which must be said
        raise ToolFailed(f"the mail can't be written: {error}") from None
    if written != addresses:
        raise ToolFailed(f"{to!r} can be read in two ways: give name@host, several separated by commas")
    return data
