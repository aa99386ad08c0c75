"""Handing over a written mail: to an SMTP server, or into a Maildir."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from graph.errors import ToolFailed
from tools import paths

OUTBOX = "outbox"
SMTP_SECONDS = 20
OK = (250, 251)
"""Reply codes of an accepted command (RFC 5321, 4.2.3)."""


class NotSent(ToolFailed):
    """Nothing was sent. `code` is the mail server's reply, when it gave one: from 500 on it will give it again."""

    def __init__(self, why: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(f"nothing was sent: {why}")


def to_outbox(workspace: Path, key: str, data: bytes) -> None:
    """Into the Maildir, named by the idempotency key: a second delivery of a mail adds nothing.

    Raises:
        ToolFailed: it can't be written.
    """
    root = workspace.resolve()
    new, seen, begun = (paths.inside(workspace, f"{OUTBOX}/{name}") for name in ("new", "cur", "tmp"))
    try:
        for one in (new, seen, begun):
            with paths.folder(root, one, create=True):
                pass
        if _holds(seen, key):
            return
    except OSError as error:
        raise ToolFailed(f"the outbox can't be written: {error.strerror}") from None
    paths.write_bytes(workspace, f"{OUTBOX}/new/{key}", data)


def in_outbox(workspace: Path, key: str) -> bool:
    """Whether the Maildir has the mail with this key, read or unread.

    Raises:
        ToolFailed, OSError: it can't be told.
    """
    return any(_holds(paths.inside(workspace, f"{OUTBOX}/{name}"), key) for name in ("new", "cur"))


def _holds(folder: Path, key: str) -> bool:
    try:
        return any(one.name.partition(":")[0] == key for one in folder.iterdir())
    except FileNotFoundError:
        return False


def over_smtp(url: str, sender: str, addresses: Sequence[str], data: bytes) -> dict[str, int]:
    """Recipients the server refused, and its reply code; the others are served.

    Only codes are told: a server's own words may come from whoever runs the recipient's domain.

    Raises:
        NotSent: nothing was sent.
        SMTPServerDisconnected: cut off after the text began to go out; nobody knows whether it was sent.
    """
    try:
        server = _connected(url)
    except OSError as error:  # smtplib's own errors among them
        raise NotSent(f"the mail server can't be used: {_why(error)}", _code(error)) from None
    except ValueError:  # its message may quote the password
        raise NotSent("SMTP_URL is not of the form smtp://user:password@host:port") from None
    try:
        return _handed_over(server, sender, addresses, data)
    finally:
        with suppress(OSError):
            server.quit()
        server.close()


def _connected(url: str) -> smtplib.SMTP:
    """Greeted, encrypted when it can be, logged in when the URL has a user."""
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"}:
        raise ValueError(parts.scheme)
    secure, tls = parts.scheme == "smtps", ssl.create_default_context()
    host, port = parts.hostname or "localhost", parts.port or (465 if secure else 25)
    server = (
        smtplib.SMTP_SSL(host, port, timeout=SMTP_SECONDS, context=tls)
        if secure
        else smtplib.SMTP(host, port, timeout=SMTP_SECONDS)
    )
    try:
        server.ehlo_or_helo_if_needed()
        if not secure and server.has_extn("starttls"):
            server.starttls(context=tls)
            secure = True
        if parts.username:
            _log_in(server, unquote(parts.username), unquote(parts.password or ""), secure=secure)
    except BaseException:
        server.close()
        raise
    return server


def _log_in(server: smtplib.SMTP, user: str, password: str, *, secure: bool) -> None:
    if not secure:
        raise smtplib.SMTPNotSupportedError("it offers no encryption, and a password is never sent without")
    server.login(user, password)


def _handed_over(server: smtplib.SMTP, sender: str, addresses: Sequence[str], data: bytes) -> dict[str, int]:
    try:
        server.ehlo_or_helo_if_needed()  # again after STARTTLS
        code, _ = server.mail(sender)
        answers = {address: server.rcpt(address)[0] for address in addresses} if code in OK else {}
    except OSError as error:
        raise NotSent(_why(error)) from None
    if code not in OK:
        raise NotSent(f"the mail server refused the sender {sender} (code {code})", code)
    refused = {address: answer for address, answer in answers.items() if answer not in OK}
    if len(refused) == len(answers):
        each = ", ".join(f"{address} (code {answer})" for address, answer in refused.items())
        raise NotSent(f"the mail server refused {each}", min(answers.values()))
    try:
        code, _ = server.data(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    except smtplib.SMTPDataError as error:
        code = error.smtp_code
    if 400 <= code < 600:  # noqa: PLR2004 - RFC 5321, 4.2.1: 4yz and 5yz are refusals
        raise NotSent(f"the mail server refused the text (code {code})", code)
    if code not in OK:
        raise smtplib.SMTPServerDisconnected("its answer to the text is no SMTP reply")
    return refused


def _code(error: OSError) -> int | None:
    return error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else None


def _why(error: OSError) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it answered with code {error.smtp_code}"
    return str(error)
