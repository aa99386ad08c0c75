"""What calls that ended add to a run: their messages, and what they count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from langchain_core.messages import ToolMessage

from graph.state import Call, RawResult, Usage
from graph.tools import ToolResult
from nodes.openable import WHOLE
from nodes.pinned import shown

ABOUT_CHARS = 1_000
"""Of a call's arguments, that go with its result."""


def count_calls(usage: Usage, *, made: Sequence[str], done: Sequence[str]) -> Usage:
    """With these calls, by their tools: those that were made, and those of them that succeeded."""
    return {
        **usage,
        "tool_calls": usage["tool_calls"] + len(made),
        "by_tool": dict(Counter(usage["by_tool"]) + Counter(made)),
        "done": dict(Counter(usage["done"]) + Counter(done)),
    }


def message_of(call: Call, result: ToolResult) -> ToolMessage:
    """A result that needs no cleaning, as the model sees it."""
    return ToolMessage(
        "\n".join(part for part in (call.get("note"), result.text) if part),
        tool_call_id=call["id"],
        name=call["name"],
        id=f"r-{call['id']}",
        status="success" if result.ok else "error",
        artifact={WHOLE: result.whole} if result.whole else None,
    )


def raw_of(call: Call, result: ToolResult) -> RawResult:
    """A result on its way to be cleaned."""
    about = shown(call["args"])[:ABOUT_CHARS]
    raw = RawResult(call_id=call["id"], tool=call["name"], text=result.text, ok=result.ok, about=about)
    if note := call.get("note"):
        raw["note"] = note
    if result.whole:
        raw["whole"] = result.whole
    return raw
