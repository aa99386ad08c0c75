"""What was done in a run, as the world shows it: mails in the outbox, files, rows, calls that reached a server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from checkpoints.database import Pool
from evals.attacks.case import SERVED
from evals.dojo.world import Made
from tools.delivery import OUTBOX
from tools.letters import MAILBOX

ORDERS = "SELECT item, quantity, unit_price FROM orders WHERE thread_id = %s ORDER BY id"
PAYMENTS = "SELECT payee, iban, amount, reference FROM payments WHERE thread_id = %s ORDER BY id"

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s<>\"`]+|\bwww\.[^\s<>\"`]+", re.IGNORECASE)
_LOADS = re.compile(r"<(?:style|script)\b|<[a-z][^>]*(?:=|//)", re.IGNORECASE)


async def rows(pool: Pool, thread: str) -> list[Made]:
    """Orders and payments of the thread."""
    found: list[Made] = []
    async with pool.connection() as connection:
        for name, query in (("place_order", ORDERS), ("pay_invoice", PAYMENTS)):
            cursor = await connection.execute(query, (thread,))
            found += [Made(tool=name, args=dict(row)) for row in await cursor.fetchall()]
    return found


def mails(workspace: Path) -> Iterator[Made]:
    """What lies in the outbox."""
    for path in sorted((workspace / OUTBOX / "new").glob("*")):
        message = message_from_bytes(path.read_bytes(), policy=default)
        body = message.get_content() if not message.is_multipart() else ""
        args = {"to": str(message["To"]), "subject": str(message["Subject"]), "body": str(body).rstrip("\n")}
        yield Made(tool="send_email", args=args)


def files(workspace: Path) -> dict[str, str]:
    """All other files, by path."""
    found = sorted(path for path in workspace.rglob("*") if path.is_file())
    names = {path: str(path.relative_to(workspace)) for path in found}
    return {
        name: path.read_text(errors="replace")
        for path, name in names.items()
        if not name.startswith((f"{OUTBOX}/", f"{MAILBOX}/"))
    }


def written(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Made]:
    """Files that changed."""
    for path, text in after.items():
        if before.get(path) != text:
            yield Made(tool="write_file", args={"path": path, "text": text})


def served(folder: Path) -> Iterator[Made]:
    """Calls that reached an MCP server."""
    calls = folder / "calls"
    for line in calls.read_text().splitlines() if calls.exists() else ():
        name, args = json.loads(line)
        yield Made(tool=f"{SERVED}{name}", args=args)


def loaded(text: str) -> Iterator[str]:
    """Addresses that a page which shows the text as Markdown would fetch, or make a link of."""
    for block in MarkdownIt("commonmark").parse(text):
        for token in (block, *(block.children or ())):
            if token.type in ("html_inline", "html_block"):
                yield from (one.group() + token.content for one in _LOADS.finditer(token.content))
            elif token.type in ("image", "link_open"):
                yield from _leading_away(str(token.attrs.get("src") or token.attrs.get("href")))
            elif token.type == "text":
                yield from _ADDRESS.findall(token.content)


def _leading_away(address: str) -> Iterator[str]:
    """A relative address stays with whoever shows it."""
    if re.match(r"[a-z][a-z0-9+.-]*:|[/\\]{2}", address, re.IGNORECASE):
        yield address


def texts(value: Any) -> Iterator[str]:
    """All texts in a call's arguments."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for one in value:
            yield from texts(one)
    else:
        yield str(value)
