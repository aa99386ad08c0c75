"""Mail: reading the mailbox, sending one."""

from __future__ import annotations

import asyncio
import mailbox
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, getaddresses
from pathlib import Path
from urllib.parse import unquote, urlsplit

from graph.errors import ToolFailed
from graph.state import Risk
from tools import letters
from tools.base import Injected, ToolContext, tool

OUTBOX = "outbox"
SENDER = "ballast@localhost"
SMTP_SECONDS = 20
MANY_RECIPIENTS = 5


@tool(risk="low", untrusted_output=True, idempotent=True)
async def list_mail(context: Injected) -> str:
    """List the mailbox: id, sender, subject and date of each mail."""
    return await asyncio.to_thread(_listing, context.workspace)


def _listing(workspace: Path) -> str:
    lines = []
    for mail_id in letters.ids(workspace):
        try:
            message = letters.load(workspace, mail_id)
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
    message = await asyncio.to_thread(letters.load, context.workspace, id)
    heads = "\n".join(f"{name}: {letters.header(message, name)}" for name in ("From", "To", "Subject", "Date"))
    return f"{heads}\n\n{letters.body(message)}"


def _many_recipients(to: str, subject: str, body: str) -> tuple[Risk, str] | None:  # noqa: ARG001 - all arguments come
    count = len(getaddresses([to]))
    return ("high", f"sends mail to {count} people at once") if count > MANY_RECIPIENTS else None


@tool(
    risk="medium",
    untrusted_output=False,
    idempotent=False,
    reason="sends mail in your name",
    raise_risk=_many_recipients,
)
async def send_email(to: str, subject: str, body: str, context: Injected) -> str:
    """Send one mail.

    Args:
        to: Address of the recipient; several are separated by commas.
        subject: Subject line.
        body: Text of the mail.
    """
    message = _compose(to, subject, body, context)
    if context.smtp_url:
        await asyncio.to_thread(_smtp, context.smtp_url, message)
    else:
        await asyncio.to_thread(_maildir, context.workspace / OUTBOX, message)
    return f"sent to {to}"


def _compose(to: str, subject: str, body: str, context: ToolContext) -> EmailMessage:
    """The Message-ID is the same for every attempt, so that a second delivery can be told."""
    addresses = [address for _, address in getaddresses([to])]
    if not addresses or not all("@" in address.strip("@") for address in addresses) or "\n" in to or "\r" in to:
        raise ToolFailed(f"{to!r} is no mail address")
    if "\n" in subject or "\r" in subject:
        raise ToolFailed("the subject must be one line")
    message = EmailMessage()
    try:
        message["From"], message["To"], message["Subject"] = SENDER, to, subject
    except (ValueError, IndexError) as error:
        raise ToolFailed(f"the mail can't be addressed: {error}") from None
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{context.idempotency_key}@ballast>"
    message.set_content(body)
    return message


def _maildir(folder: Path, message: EmailMessage) -> None:
    try:
        mailbox.Maildir(folder, create=True).add(message)
    except OSError as error:
        raise ToolFailed(f"the outbox can't be written: {error.strerror}") from None


def _smtp(url: str, message: EmailMessage) -> None:
    parts = urlsplit(url)
    secure = parts.scheme == "smtps"
    host, port = parts.hostname or "localhost", parts.port or (465 if secure else 25)
    tls = ssl.create_default_context()
    try:
        server = (
            smtplib.SMTP_SSL(host, port, timeout=SMTP_SECONDS, context=tls)
            if secure
            else smtplib.SMTP(host, port, timeout=SMTP_SECONDS)
        )
    except OSError as error:
        raise ToolFailed(f"the mail server can't be reached: {error}") from None
    with server:
        if not secure and server.has_extn("starttls"):
            server.starttls(context=tls)
        try:
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
        except (
            smtplib.SMTPRecipientsRefused,
            smtplib.SMTPSenderRefused,
            smtplib.SMTPAuthenticationError,
        ) as error:
            raise ToolFailed(f"the mail server refused: {error}") from None
