"""Reading RFC 5322 mail files."""

from __future__ import annotations

import email
import os
from email import policy
from email.message import EmailMessage
from pathlib import Path

from graph.errors import ToolFailed
from tools import paths

MAILBOX = "mailbox"
MAX_BYTES = 5_000_000
"""Longest mail that is opened, attachments included, in bytes."""


def ids(workspace: Path) -> list[str]:
    """Ids of the mails in the mailbox: their file names without `.eml`, sorted."""
    folder = paths.inside(workspace, MAILBOX)
    if not folder.is_dir():
        raise ToolFailed(f"the workspace has no {MAILBOX} folder")
    return sorted(one.stem for one in folder.glob("*.eml") if one.is_file() and not one.is_symlink())


def load(workspace: Path, mail_id: str) -> EmailMessage:
    """One mail, parsed.

    Raises:
        ToolFailed: there is none with this id, or it can't be read.
    """
    path = paths.inside(workspace, f"{MAILBOX}/{mail_id}.eml")
    if mail_id not in ids(workspace):
        raise ToolFailed(f"no mail {mail_id!r}: list_mail shows the ids")
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise ToolFailed(f"mail {mail_id!r} has more than {MAX_BYTES:,} bytes")
            message = email.message_from_binary_file(file, policy=policy.default)
    except OSError as error:
        raise ToolFailed(f"can't open mail {mail_id!r}: {error.strerror}") from None
    if not message.keys():
        raise ToolFailed(f"mail {mail_id!r} is broken: it has no headers")
    return message


def header(message: EmailMessage, name: str) -> str:
    """A header's text, decoded; empty when it is missing or broken."""
    try:
        return " ".join(str(message[name] or "").split())
    except (ValueError, IndexError, AttributeError, LookupError):
        return ""


def when(message: EmailMessage) -> str:
    """The date as `YYYY-MM-DD HH:MM`, or as it is written."""
    try:
        return f"{message['Date'].datetime:%Y-%m-%d %H:%M}"
    except (AttributeError, TypeError, ValueError):
        return header(message, "Date")


def body(message: EmailMessage) -> str:
    """The text part, else the HTML part as it is: `sanitize` cleans it."""
    try:
        part = message.get_body(preferencelist=("plain", "html"))
        return str(part.get_content()) if part else ""
    except (LookupError, ValueError, KeyError, AttributeError) as error:
        raise ToolFailed(f"the mail's text can't be read: {error}") from None
