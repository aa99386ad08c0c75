"""Reading RFC 5322 mail files. Anything may be wrong with one; the others must still be readable."""

from __future__ import annotations

from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import EmailPolicy
from pathlib import Path
from typing import Any

from graph.errors import ToolFailed, Unreadable
from tools import paths
from tools.text import decoded

MAILBOX = "mailbox"
MAX_BYTES = 12_000_000
"""Longest mail that is opened, attachments included, in bytes: mail servers take 10 MB and more."""
MAX_LINES = 200_000
"""Most lines of one. The parser takes microseconds for each and each part it stands in, whatever is on it."""
HEADS_BYTES = 200_000
"""What is read of a mail for its headers alone."""
MAX_HEADER, MAX_OF_PART = 2_000, 300
"""What is kept of a header, in characters, and of one that says of what kind a part is: a broken one takes a time that
grows with its square, and each part has its own."""
SHOWN_ATTACHMENTS, NAME_CHARS = 20, 100
MAX_PARTS, MAX_DEPTH = 100, 12
"""Most parts of a mail, and most of them inside one another: the parser looks for the end of each at every line."""


class _Bounded(EmailPolicy):
    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[: MAX_OF_PART if name.lower().startswith("content-") else MAX_HEADER]


class _Overfull(Exception):
    """Too many parts, or too many inside one another."""


class _Letter(EmailMessage):
    """A mail, or a part of one. The parser adds each part the moment it begins, so that is where it is stopped."""

    depth = 0
    whole: _Letter | None = None
    parts = 0

    def attach(self, payload: Any) -> None:
        whole = self.whole or self
        whole.parts += 1
        payload.whole, payload.depth = whole, self.depth + 1
        if whole.parts > MAX_PARTS or payload.depth > MAX_DEPTH:
            raise _Overfull
        super().attach(payload)


POLICY: Any = _Bounded(message_factory=_Letter)  # typeshed does not know that it makes EmailMessages


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
    return listed(workspace, mail_id, heads_only=heads_only)


def listed(workspace: Path, mail_id: str, *, heads_only: bool = False) -> EmailMessage:
    """The same of one that `ids` has just given.

    Raises:
        Unreadable, ToolFailed: see `load`.
    """
    data = paths.read_bytes(workspace, f"{MAILBOX}/{mail_id}.eml", MAX_BYTES, most=HEADS_BYTES if heads_only else None)
    if data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n") > MAX_LINES:
        raise Unreadable(f"mail {mail_id!r} has over {MAX_LINES:,} lines")
    try:
        message: EmailMessage = BytesParser(policy=POLICY).parsebytes(data, headersonly=heads_only)
    except _Overfull:
        raise Unreadable(
            f"mail {mail_id!r} has over {MAX_PARTS} parts, or over {MAX_DEPTH} inside one another"
        ) from None
    except Exception as error:  # noqa: BLE001 - the parser raises anything, RecursionError included
        raise Unreadable(f"mail {mail_id!r} is broken: {type(error).__name__}") from None
    if not message.keys():
        raise Unreadable(f"mail {mail_id!r} is broken: it has no headers")
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
        raise Unreadable(f"the mail's text can't be read: {type(error).__name__}") from None
    return decoded(data, charset) if isinstance(data, bytes) else ""


def attachments(message: EmailMessage) -> list[str]:
    """A line for each attachment: its name, what it says it is, and its size. None of them is opened.

    Raises:
        Unreadable: its parts can't be told apart.
    """
    try:
        found = list(message.iter_attachments()) if message.is_multipart() else []
        lines = [_attachment(one) for one in found[:SHOWN_ATTACHMENTS]]
    except Exception as error:  # noqa: BLE001 - the parser raises anything, RecursionError included
        raise Unreadable(f"the mail's attachments can't be told apart: {type(error).__name__}") from None
    more = len(found) - len(lines)
    return lines + ([f"[{more} more attachments]"] if more else [])


def _attachment(part: Message) -> str:
    name = " ".join((part.get_filename() or "without a name").split())[:NAME_CHARS]
    kind, data = part.get_content_type(), part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return f"{name} ({kind}, not opened)"
    but = ", but it is no PDF" if kind == "application/pdf" and not data.startswith(paths.PDF) else ""
    return f"{name} ({kind}{but}, {len(data):,} bytes, not opened)"
