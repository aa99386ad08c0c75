"""What a thread's steps did, read from what each of them wrote: no state is rebuilt for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
    convert_to_messages,
)

from app.history import history
from app.pages.readable import words
from checkpoints.saver import PostgresSaver
from graph.durable import DurableGraph
from graph.state import Usage
from nodes.notices import is_notice
from nodes.openable import handle_of
from services.cleaning import is_wrapped

CHANNELS = ("tasks", "dropped", "messages", "untrusted", "findings", "usage", "outcome")

MOST_ENTRIES = 100
"""Of one step that are shown: a plan may run a thousand tasks in one."""

FIRST_LINE = 100

Kind = Literal["request", "says", "plan", "call", "result", "outside", "warning", "end"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing a step did."""

    kind: Kind
    title: str
    text: str = ""
    args: Mapping[str, Any] | None = None
    ok: bool = True
    handle: str | None = None
    """Of the raw text, where it is kept."""

    @property
    def said(self) -> str:
        """Its first line; of what came from outside, how long it is: the first line says only that it did."""
        first = self.text.strip().partition("\n")[0]
        return f"{len(self.text):,} characters from outside" if is_wrapped(self.text) else first[:FIRST_LINE]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A checkpoint, and what the step that led to it did."""

    checkpoint_id: str
    step: int | None
    node: str
    next: Sequence[str]
    at: str
    """ISO 8601."""
    entries: Sequence[Entry]
    more: int
    """Entries that are not shown."""
    spent: Usage | None
    """What the run had spent after it, where a model replied in it."""
    current: bool
    """Whether the newest checkpoint comes from it; else it is on a branch that was left by a replay."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A stretch of a thread's steps, oldest first."""

    steps: Sequence[Step]
    total: int
    earlier: str | None
    """Checkpoint before which there is more."""
    latest: bool
    """Whether it reaches to the newest checkpoint."""


async def timeline(
    graph: DurableGraph, saver: PostgresSaver, thread_id: str, *, limit: int, until: str | None = None
) -> Timeline:
    """The last `limit` steps, or those before the checkpoint `until`."""
    rows = (await history(graph, saver, thread_id))[::-1]
    places = {row["checkpoint_id"]: at for at, row in enumerate(rows)}
    end = places.get(until or "", len(rows))
    shown = rows[max(0, end - limit) : end]
    parents = [row["parent_id"] for row in shown if row["parent_id"]]
    written = await saver.list_writes(thread_id, parents, CHANNELS)
    current = _line_of_newest(rows)
    steps = [_step(row, written.get(row["parent_id"] or "", ()), current) for row in shown]
    return Timeline(
        steps=steps,
        total=len(rows),
        earlier=shown[0]["checkpoint_id"] if shown and end > limit else None,
        latest=end == len(rows),
    )


def _line_of_newest(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    parents: dict[str, str] = {row["checkpoint_id"]: row["parent_id"] or "" for row in rows}
    line: set[str] = set()
    at = rows[-1]["checkpoint_id"] if rows else ""
    while at in parents:
        line.add(at)
        at = parents[at]
    return line


def _step(row: Mapping[str, Any], written: Sequence[tuple[str, Any]], current: set[str]) -> Step:
    ran = row["node"] not in ("input", "update", "fork")  # those were written from outside, whatever ran beside them
    again = "messages" if row["node"] == "compress_history" else ""  # they stand in place of some told before
    entries = [entry for channel, value in written if ran and channel != again for entry in _entries(channel, value)]
    replied = any(entry.kind in ("says", "plan", "call") for entry in entries)
    return Step(
        checkpoint_id=row["checkpoint_id"],
        step=row["step"],
        node=row["node"].replace("__start__", "request"),
        next=row["next"],
        at=row["created_at"],
        entries=entries[:MOST_ENTRIES],
        more=max(len(entries) - MOST_ENTRIES, 0),
        spent=next((value for channel, value in written if replied and channel == "usage"), None),
        current=row["checkpoint_id"] in current,
    )


def _entries(channel: str, value: Any) -> Iterator[Entry]:
    match channel:
        case "tasks" if value:
            yield Entry(kind="plan", title=f"plans {_many(value)}", text=_listed(value))
        case "dropped" if value:
            yield Entry(kind="plan", title=f"{_many(value)} dropped by a replan", text=_listed(value))
        case "messages":
            for message in convert_to_messages(value if isinstance(value, list) else [value]):
                yield from _of_message(message)
        case "untrusted":
            for raw in value:
                yield Entry(kind="outside", title=f"{raw['tool']}: {len(raw['text']):,} characters from outside")
        case "findings":
            for one in value:
                about = one["rule"] if one["rule"].startswith("guard ") else "looks like an instruction"
                yield Entry(kind="warning", title=f"{one['tool']}: {about}", text=one["excerpt"])
        case "outcome" if value:
            yield Entry(kind="end", title=str(value))


def _many(tasks: Sequence[Any]) -> str:
    return f"{len(tasks):,} task{'' if len(tasks) == 1 else 's'}"


def _listed(tasks: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"{task['id']}: {words(task['tool'])}{_after(task)}" for task in tasks)


def _after(task: Mapping[str, Any]) -> str:
    return f", after {', '.join(task['needs'])}" if task["needs"] else ""


def _of_message(message: BaseMessage) -> Iterator[Entry]:
    match message:
        case HumanMessage():
            yield Entry(kind="request", title="request", text=str(message.text))
        case AIMessage():
            if text := str(message.text):
                yield Entry(kind="says", title="ballast" if is_notice(message) else "model", text=text)
            for call in message.tool_calls:
                yield Entry(kind="call", title=call["name"], args=call["args"])
        case ToolMessage():
            name, good = str(message.name), message.status == "success"
            yield Entry(kind="result", title=name, text=str(message.text), ok=good, handle=handle_of(message))
        case RemoveMessage():
            return
