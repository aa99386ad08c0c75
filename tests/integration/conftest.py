"""Runs of the react graph in this process: real Postgres, real tools, a scripted model."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from langchain_core.messages import BaseMessage, ToolMessage

from app.lifespan import Opened, opened
from app.runs import Runs
from checkpoints.database import Pool
from graph.context import LocalContext
from services.settings import load
from tests.integration import mcp_office
from tests.integration.mcp_office import Office, Working, approve, servers
from tests.integration.tools_bench import Bench, bench_on
from tools import office
from tools.registry import ToolBox

OFFICE = Path(__file__).parents[2] / "examples/office"

Script = Callable[..., LocalContext]
"""Given the turns (and any context field or script list), a context whose model plays them."""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OFFICE, tmp_path / "office", ignore=shutil.ignore_patterns("outbox")))


@pytest.fixture
def script(tmp_path: Path, workspace: Path) -> Script:
    count = iter(range(1_000))

    def write(*turns: dict[str, Any], lists: dict[str, Any] | None = None, **fields: Any) -> LocalContext:
        path = tmp_path / f"script{next(count)}.yaml"
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        path.write_text(yaml.dump({"turns": list(turns), **(lists or {})}, Dumper=dumper))
        return LocalContext(model=f"scripted:{path}", workspace=workspace, **fields)

    return write


@pytest.fixture
def untrusted() -> str:
    """BALLAST_UNTRUSTED. Tests of what becomes of whole texts override it in their file."""
    return "strict"


@pytest.fixture
async def services(database_url: str, tmp_path: Path, untrusted: str) -> AsyncIterator[Opened]:
    settings = load(database_url=database_url, home=tmp_path / "home", openai_api_key=None, untrusted=untrusted)
    async with opened(settings) as everything:
        yield everything


@pytest.fixture
def runs(services: Opened) -> Runs:
    return Runs(opened=services, progress=lambda _node, _change: None)


def calls(*named: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A turn that calls these tools."""
    return {"tool_calls": [{"name": name, "args": args} for name, args in named]}


def say(text: str) -> dict[str, Any]:
    """A turn that only speaks."""
    return {"content": text}


READ = ("read_file", {"path": "docs/travel-policy.md"})
TRUSTED = ("get_order", {"id": "ORD-000001"})
LIST: tuple[str, dict[str, Any]] = ("list_files", {})
MAIL = ("send_email", {"to": "ann@example.com", "subject": "Hi", "body": "Hello"})
ORDER = ("place_order", {"item": "Desk lamp", "quantity": 2, "unit_price": 38.25})
DELETE = ("delete_records", {"table": "suppliers", "ids": ["104"]})


async def messages_of(runs: Runs, thread: str) -> list[BaseMessage]:
    return list((await runs.known(thread)).values["messages"])


async def results_of(runs: Runs, thread: str) -> dict[str, str]:
    return {str(m.name): str(m.content) for m in await messages_of(runs, thread) if isinstance(m, ToolMessage)}


def ids_of(report: dict[str, Any], status: str = "pending") -> dict[str, str]:
    return {row["tool"]: row["id"] for row in report["approvals"] if row["status"] == status}


async def decide(services: Opened, approval: str, kind: str, **more: Any) -> None:
    await services.approvals.decide(approval, {"type": kind, **more}, by="ann")


@pytest.fixture
def build(pool: Pool, tmp_path: Path) -> Callable[..., Bench]:
    return lambda *tools: bench_on(pool, tmp_path / "office", box=ToolBox(tools))


@pytest.fixture
def working(pool: Pool, tmp_path: Path) -> Working:
    """The tools of these servers, whose listings were approved a moment ago, as `act` runs them."""

    @asynccontextmanager
    async def start(*offices: Office, approved: bool = True) -> AsyncIterator[Bench]:
        if approved:
            await approve(pool, *offices)
        async with servers(pool, tmp_path, *offices) as ready:
            yield bench_on(pool, tmp_path / "office", box=office.toolbox(None, ready.tools()))

    return start


@pytest.fixture
def desk(tmp_path: Path) -> Office:
    made = Office(tmp_path / "desk")
    made.lists(mcp_office.READ, mcp_office.NOTE)
    return made
