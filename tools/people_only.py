"""What the agent may propose but never do: the call goes to a person, and none of these acts."""

from __future__ import annotations

from typing import Never

from graph.errors import ToolFailed
from tools.base import tool


@tool(risk="critical", untrusted_output=False, idempotent=False, reason="deletes records for good", records=("ids",))
async def delete_records(table: str, ids: list[int | str]) -> Never:
    """Ask a person to delete records. The agent never deletes anything itself.

    Args:
        table: Which table, such as suppliers.
        ids: Ids of the records.
    """
    raise ToolFailed(f"a person deletes records ({len(ids)} of {table}), not the agent")


@tool(
    risk="critical",
    untrusted_output=False,
    idempotent=False,
    reason="writes to many people at once",
    content=("subject", "body"),
)
async def send_bulk_email(to: list[str], subject: str, body: str) -> Never:  # noqa: ARG001 - shown to the person
    """Ask a person to send one mail to many people. The agent never does so itself.

    Args:
        to: Addresses.
        subject: Subject line.
        body: Text of the mail.
    """
    raise ToolFailed(f"a person sends bulk mail (to {len(to)} addresses), not the agent")
