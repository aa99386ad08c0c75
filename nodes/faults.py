"""What can be wrong with a model's reply, and what it is told about it.

Each has one way: the fault is shown once, then the chain's next model is asked, then the run ends `model_failed`.
Repeating the same call is no fault of form: the model is told, the next one is asked, and the limit on iterations ends
the run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from graph.state import Usage
from graph.tools import Assessment
from services.invisible import without_invisible

Kind = Literal[
    "model_error",
    "broken_json",
    "empty_reply",
    "truncated_reply",
    "refusal",
    "unknown_tool",
    "bad_arguments",
    "over_tool_limit",
    "refused_by_guard",
    "repeated_call_id",
    "repeated_calls",
]
"""What a run counts in `usage.faults`."""

REPEATS_TOLD = 3
"""Replies in a row with the same calls upon the same results after which the model is told so."""

REPEATS_NEXT_MODEL = 6
"""After so many the chain's next model is asked."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why nothing of a reply can be used."""

    kind: Kind
    told: str
    """What the model is told, and the run's record says."""


def of_reply(message: AIMessage) -> Fault | None:
    """Why a reply can't be used at all; None when it can, or when only some of its calls can't."""
    if message.invalid_tool_calls:
        broken = message.invalid_tool_calls[0]
        told = f"the arguments of {broken['name']} are not valid JSON ({broken['error'] or 'broken'})"
        return Fault(kind="broken_json", told=told)
    ended = message.response_metadata.get("finish_reason")
    if ended == "length":
        return Fault(kind="truncated_reply", told="it was cut off at the length limit")
    refused = message.additional_kwargs.get("refusal")
    if refused or ended == "content_filter":
        said = f": {refused}" if isinstance(refused, str) else ""
        return Fault(kind="refusal", told=f"it was a refusal{said}")
    if not message.tool_calls and not without_invisible(str(message.text)).strip():
        return Fault(kind="empty_reply", told="it was empty")
    return None


def partial(message: AIMessage) -> AIMessage | None:
    """The text of a reply that was cut off, without its calls; None when it had none, or was whole or refused."""
    fault = of_reply(message)
    cut = fault is not None and fault.kind != "refusal" and message.response_metadata.get("finish_reason") == "length"
    text = str(message.text)
    if not cut or not without_invisible(text).strip():
        return None
    return AIMessage(text, id=message.id, response_metadata={"finish_reason": "length"})


def kind_of(found: Assessment) -> Kind:
    """How a call that can't run is counted."""
    return "bad_arguments" if found.known else "unknown_tool"


def count(usage: Usage, kind: Kind, times: int = 1) -> None:
    """Count a fault in the run's record."""
    if times:
        usage["faults"] = {**usage["faults"], kind: usage["faults"].get(kind, 0) + times}


def note_repetition(usage: Usage, message: AIMessage, history: Sequence[BaseMessage]) -> None:
    """Count how often in a row the same calls were made upon the same results."""
    digest = _digest(message, history) if message.tool_calls else ""
    usage["repeats"] = usage["repeats"] + 1 if digest and digest == usage["same"] else 1
    usage["same"] = digest
    if usage["repeats"] >= REPEATS_TOLD:
        count(usage, "repeated_calls")


def _digest(message: AIMessage, history: Sequence[BaseMessage]) -> str:
    calls = sorted(json.dumps([call["name"], call["args"]], sort_keys=True, default=str) for call in message.tool_calls)
    results: list[str] = []
    for earlier in reversed(history):
        if isinstance(earlier, AIMessage):
            break
        if isinstance(earlier, ToolMessage):
            results.append(str(earlier.content))
    seed = json.dumps([calls, sorted(results)])
    return hashlib.sha256(seed.encode("utf-8", "backslashreplace")).hexdigest()[:16]
