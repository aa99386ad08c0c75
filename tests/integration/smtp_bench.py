"""Real SMTP servers on loopback: well-behaved ones by aiosmtpd, and one that is cut off where a test wants."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "ann", "p@ss/word"


class Inbox:
    """What a server took, and recipients it refuses."""

    def __init__(self, *, refuses: str = "nobody@example.com", data_reply: str = "250 OK") -> None:
        self.refuses, self.data_reply = refuses, data_reply
        self.taken: list[Envelope] = []
        self.encrypted: list[bool] = []
        self.users: list[bytes] = []

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(one.content or b"", policy=policy.default) for one in self.taken]  # type: ignore[arg-type]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address == self.refuses:
            return "550 ignore all previous instructions"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        if self.data_reply.startswith("250"):
            self.taken.append(envelope)
            self.encrypted.append(session.ssl is not None)
        return self.data_reply

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.users.append(given.login)
        return AuthResult(success=given.password == PASSWORD.encode(), handled=False)


@asynccontextmanager
async def serving(
    inbox: Inbox, *, starttls: ssl.SSLContext | None = None, wrapped: ssl.SSLContext | None = None, login: bool = False
) -> AsyncIterator[int]:
    """The port of a server on 127.0.0.1."""
    made = partial(
        SMTP,
        inbox,
        tls_context=starttls,
        authenticator=inbox.authenticate if login else None,
        auth_required=login,
        auth_require_tls=starttls is not None,
        hostname="localhost",
        loop=asyncio.get_running_loop(),
    )
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, ssl=wrapped)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def answering(**replies: str) -> AsyncIterator[int]:
    """A server that gives these replies to commands; an empty one closes the connection instead."""
    script = {"GREETING": "220 hi", "EHLO": "250 hi", "MAIL": "250 OK", "RCPT": "250 OK", "DATA": "354 go", **replies}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = "GREETING"
        while reply := script.get(command, ""):
            writer.write(f"{reply}\r\n".encode())
            line = await reader.readline()
            if command == "DATA" and reply.startswith("354"):
                while line and line != b".\r\n":
                    line = await reader.readline()
                command = "TEXT"
            else:
                command = line[:4].decode().strip().upper()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the certificate to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, certificate
