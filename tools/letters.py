"""Reading RFC 5322 mail files. Anything may be wrong with one; the others must still be readable."""

from __future__ import annotations

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import EmailPolicy
from pathlib import Path
from typing import Any

from graph.errors import ToolFailed
from tools import paths
from tools.text import decoded

MAILBOX = "mailbox"
MAX_BYTES = 5_000_000
"""Longest mail that is opened, attachments included, in bytes."""
MAX_HEADER = 4_000
"""What is kept of a header, in characters: parsing one takes more than linear time."""


class _Bounded(EmailPolicy):
    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[:MAX_HEADER]


POLICY: Any = _Bounded()  # typeshed does not know that it makes EmailMessages


def ids(workspace: Path) -> list[str]:
    """Ids of the mails in the mailbox: their file names without `.eml`, sorted; hidden ones and links left out."""
    folder = paths.inside(workspace, MAILBOX)
    if not folder.is_dir():
        raise ToolFailed(f"the workspace has no {MAILBOX} folder")
    found = (one for one in folder.glob("*.eml") if not one.name.startswith("."))
    return sorted(one.stem for one in found if one.is_file() and not one.is_symlink())


def load(workspace: Path, mail_id: str, *, heads_only: bool = False) -> EmailMessage:
    """One mail, parsed; the body can take long to parse, and not all need it.

    Raises:
        ToolFailed: there is none with this id, or it can't be read.
    """
    if mail_id not in ids(workspace):
        raise ToolFailed(f"no mail {mail_id!r}: list_mail shows the ids")
    data = paths.read_bytes(workspace, f"{MAILBOX}/{mail_id}.eml", MAX_BYTES)
    try:
        message: EmailMessage = BytesParser(policy=POLICY).parsebytes(data, headersonly=heads_only)
    except Exception as error:  # noqa: BLE001 - the parser raises anything, RecursionError included
        raise ToolFailed(f"mail {mail_id!r} is broken: {type(error).__name__}") from None
    if not message.keys():
        raise ToolFailed(f"mail {mail_id!r} is broken: it has no headers")
    return message


def header(message: EmailMessage, name: str) -> str:
    """A header's text, decoded; empty when it is missing or broken."""
    try:
        return " ".join(str(message[name] or "").split())
    except Exception:  # noqa: BLE001 - the parser raises anything, RecursionError included
        return ""


def when(message: EmailMessage) -> str:
    """The date as `YYYY-MM-DD HH:MM`, or as it is written."""
    try:
        return f"{message['Date'].datetime:%Y-%m-%d %H:%M}"
    except Exception:  # noqa: BLE001 - as above; a missing date has no datetime either
        return header(message, "Date")


def body(message: EmailMessage) -> str:
    """The text part, else the HTML part as it is: `sanitize` cleans it.

    Raises:
        ToolFailed: its parts can't be told apart.
    """
    try:
        part = message.get_body(preferencelist=("plain", "html"))
        data = part.get_payload(decode=True) if part else b""
        charset = part.get_content_charset() if part else None
    except Exception as error:  # noqa: BLE001 - the parser raises anything, RecursionError included
        raise ToolFailed(f"the mail's text can't be read: {type(error).__name__}") from None
    return decoded(data, charset) if isinstance(data, bytes) else ""
