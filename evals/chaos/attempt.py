"""One attempt at a run, in a process of its own: go on with the thread, decide what waits, tell what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.lifespan import Opened, opened
from app.runs import Runs
from evals.chaos import notices, story
from evals.chaos.trap import Trap
from evals.chaos.wiring import TrappedRuns, add_tools, set_trap
from graph.approvals import Approval
from graph.context import Context, LocalContext
from graph.errors import NotFound
from nodes.decisions import checked
from services.settings import load

Tell = Callable[..., None]
"""Sends one line of facts to the parent, at once."""

PERSON = "ann"
OPEN_STATES = ("reserved", "unknown")
ORDERS = "SELECT item, quantity, unit_price::text AS price FROM orders WHERE thread_id = %s ORDER BY id"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to be started, or gone on with."""

    thread: str
    workspace: Path
    context: dict[str, Any]
    """Fields of its context, the model chain among them."""
    settings: dict[str, Any]
    """Of the process: `services.settings.Settings`."""
    graph: str = "react"
    streams: bool = False
    """Whether the model's replies are asked for as streams."""


async def attempt(job: Job, trap: Trap, tell: Tell) -> None:
    """Tells {"doubts"}, then {"waits"} after the person has decided, or {"picture"}; last {"hits"}."""
    add_tools()
    async with opened(load(**job.settings)) as services:
        tell(doubts=await _doubts(services, job.thread))
        set_trap(services, trap)
        runs = TrappedRuns(opened=services, progress=lambda _node, _change: None, trap=trap, streams=job.streams)
        report = await _go_on(runs, job)
        tell(doubts=await _doubts(services, job.thread))
        if report["outcome"] in ("awaiting_approval", "handed_to_person"):
            trap.reach("waiting")
            await _decide(services, job)
            tell(waits=report["outcome"])
        else:
            tell(picture=await _picture(runs, job, report))
        tell(hits=dict(trap.hits))


async def _go_on(runs: Runs, job: Job) -> dict[str, Any]:
    try:
        return await runs.resume(job.thread, context=Context())
    except NotFound:  # killed before its first write: nothing was begun, so nothing is lost
        context = LocalContext(workspace=job.workspace, **job.context)
        return await runs.start("Do what is to be done.", thread_id=job.thread, context=context, graph=job.graph)


async def _doubts(services: Opened, thread: str) -> dict[str, str]:
    """Key and tool of each effect that an attempt was cut off in."""
    rows = await services.ledger.of_thread(thread)
    return {row["key"]: row["tool"] for row in rows if row["state"] in OPEN_STATES}


async def _decide(services: Opened, job: Job) -> None:
    """What a person does at the command line, for every call that waits."""
    for row in await services.approvals.find(thread_id=job.thread, pending=True):
        said = _looked_up(row, job) if getattr(row, "effect_key", None) else story.decision(row.tool, row.args)
        wanted = await checked(row, said, services.services.tools)
        await services.approvals.decide(row.id, wanted, by=PERSON)


def _looked_up(row: Approval, job: Job) -> dict[str, Any]:
    """In doubt: the person looks whether it happened."""
    key = getattr(row, "effect_key", "")
    there = key in {one for one, _ in notices.posted(job.workspace)} | set(_outbox(job.workspace))
    return {"type": "done" if there else "retry"}


async def _picture(runs: Runs, job: Job, report: dict[str, Any]) -> dict[str, Any]:
    """See `Picture`."""
    services, snapshot = runs.opened, await runs.known(job.thread)
    async with services.pool.connection() as connection:
        orders = await (await connection.execute(ORDERS, (job.thread,))).fetchall()
    return {
        "outcome": report["outcome"],
        "answer": report["answer"],
        "usage": report["usage"],
        "messages": [
            {
                "type": message.type,
                "text": str(message.text),
                "calls": [
                    {"id": call["id"], "name": call["name"], "args": call["args"]}
                    for call in getattr(message, "tool_calls", ())
                ],
                "call_id": getattr(message, "tool_call_id", ""),
                "status": getattr(message, "status", ""),
            }
            for message in snapshot.values["messages"]
        ],
        "approvals": [
            {"tool": row.tool, "args": row.args, "status": row.status, "effect_key": getattr(row, "effect_key", None)}
            for row in await services.approvals.find(thread_id=job.thread)
        ],
        "effects": [
            {name: row[name] for name in ("key", "tool", "args", "state")}
            for row in await services.ledger.of_thread(job.thread)
        ],
        "tasks": [
            {"id": task["id"], "tool": task["tool"], **_ended(snapshot.values, task["id"])}
            for task in snapshot.values.get("tasks", [])
        ],
        "world": [
            *(["place_order", row["item"], row["quantity"], row["price"]] for row in orders),
            *(["send_email"] for _ in _outbox(job.workspace)),
            *(["post_notice", text] for _, text in notices.posted(job.workspace)),
        ],
    }


def _ended(values: dict[str, Any], task: str) -> dict[str, str]:
    result = values.get("results", {}).get(task, {"stands": "open", "text": ""})
    return {"stands": result["stands"], "text": result["text"]}


def _outbox(workspace: Path) -> list[str]:
    """Message-IDs of the mails that went out: the outbox names them by it. In a Maildir a dot marks no mail."""
    found = [mail.name for name in ("new", "cur") for mail in (workspace / "outbox" / name).glob("*")]
    return [name.partition(":")[0] for name in found if not name.startswith(".")]
