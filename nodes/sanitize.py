"""sanitize: the only way untrusted tool output reaches the model."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime

from graph.context import Run
from graph.state import Finding, State
from services.cleaning import clean, suspicious, wrapped


async def sanitize(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Clean untrusted output, look for hidden instructions, and hand it over wrapped as data."""
    messages: list[ToolMessage] = []
    findings: list[Finding] = []
    for raw in state["untrusted"]:
        text = clean(raw["text"])
        seen = [
            Finding(tool=raw["tool"], call_id=raw["call_id"], rule=rule, excerpt=excerpt)
            for rule, excerpt in suspicious(raw["text"], text)
        ]
        findings += seen
        content = wrapped(text, source=raw["tool"], warnings=sorted({finding["rule"] for finding in seen}))
        messages.append(
            ToolMessage(
                "\n".join(part for part in (raw.get("note"), content) if part),
                tool_call_id=raw["call_id"],
                name=raw["tool"],
                id=f"r-{raw['call_id']}",
                status="success" if raw["ok"] else "error",
            )
        )
    if findings:
        runtime.context.services.telemetry.annotate(findings=findings)
    return {"messages": messages, "untrusted": [], **({"findings": findings} if findings else {})}
