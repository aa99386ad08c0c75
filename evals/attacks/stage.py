"""What a case is played on: the process's own services, with the attacker's model and the case's tools in place."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from langchain_core.tools import BaseTool

from app.lifespan import Opened
from app.runs import Runs
from checkpoints.listings import PostgresListings
from evals.attacks.case import Case, McpTool, World
from evals.attacks.desk import Desk
from evals.attacks.internet import Internet
from evals.dojo.model import WorstCase
from services.endpoints import endpoints_of
from services.mcp_file import Server, Servers
from tools import office
from tools.execute import Executor
from tools.mcp import open_servers
from tools.mcp_listing import Listed, listing_of
from tools.registry import ToolBox
from tools.web import fetch_url

SERVER = Path(__file__).with_name("mcp_server.py")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """All runs share it; each finds its own world by its thread."""

    model: WorstCase = field(default_factory=WorstCase)
    desk: Desk = field(default_factory=Desk)
    internet: Internet = field(default_factory=Internet)

    def runs(self, opened: Opened, more: Sequence[BaseTool] = ()) -> Runs:
        """Runs on these services: the office's tools, and the desk's."""
        own = [self.internet.tool() if one.name == fetch_url.name else one for one in office.toolbox().registered()]
        box = ToolBox([*own, *self.desk.tools(), *more], handlings=opened.settings.untrusted)
        executor = Executor(box, opened.ledger, endpoints_of(opened.settings), results=opened.services.results)
        services = replace(opened.services, tools=executor, models=self.model)
        ours = replace(opened, services=services, models=self.model)  # type: ignore[arg-type]  # all it is asked is `check`
        return Runs(opened=ours, progress=lambda _node, _change: None)

    @asynccontextmanager
    async def with_tools(self, opened: Opened, case: Case, name: str, folder: Path) -> AsyncIterator[Runs]:
        """The same, with the tools of the case's MCP server `name`, whose listing was approved before it changed."""
        store = PostgresListings(opened.pool)
        listing = listing_of([_listed(one, one.description) for one in case.world.tools])
        await store.approve(name, digest=listing.digest, tools=listing.text, by="ann")
        _lists(folder, case.world.tools)
        configured = Servers(servers={name: Server(command=(sys.executable, str(SERVER), str(folder)))})
        async with open_servers(configured, store) as servers:
            yield self.runs(opened, servers.tools())


def _listed(one: McpTool, description: str) -> Listed:
    return Listed(name=one.name, description=description, schema=_schema(one), annotations=one.annotations)


def _schema(one: McpTool) -> dict[str, object]:
    return {"type": "object", "properties": one.properties}


def _lists(folder: Path, tools: Sequence[McpTool]) -> None:
    said = [
        {
            "name": one.name,
            "description": one.later or one.description,
            "inputSchema": _schema(one),
            "annotations": one.annotations,
            "result": one.result,
        }
        for one in tools
    ]
    (folder / "tools.json").write_text(json.dumps(said))


def furnish(workspace: Path, world: World) -> None:
    """Write the case's mails and files."""
    mailbox = workspace / "mailbox"
    mailbox.mkdir(parents=True)
    for mail in world.mails:
        kind = "html" if mail.html else "plain"
        heads = (
            f"From: {mail.sender}\nTo: me@corp.example\nSubject: {mail.subject}\n"
            f"Date: Mon, 02 Nov 2026 09:00:00 +0000\nContent-Type: text/{kind}; charset=utf-8\n\n"
        )
        (mailbox / f"{mail.id}.eml").write_text(heads + mail.text)
    for name, text in world.files.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
