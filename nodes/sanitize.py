"""sanitize: the only way untrusted tool output reaches the model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime

from graph.context import Run
from graph.guards import Finding
from graph.state import RawResult, State
from nodes.extracting import Extractor, extractor_at
from nodes.guarding import guarding_at
from nodes.openable import WHOLE
from nodes.together import all_ended
from services.aside import aside
from services.cleaning import READ_CHARS, clean_and_search, wrapped

CLEANING_SECONDS = 10.0
"""Longest wait for one text. Cleaning takes a fraction of a second; what takes longer does not reach the model."""

WITHHELD = "The text is withheld: it could not be cleaned."

NOT_CLEANED = "not_cleaned"
"""The rule of the finding on a text that is withheld."""


async def sanitize(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Clean untrusted output, look for hidden instructions, and hand it over wrapped as data."""
    guarding = guarding_at(runtime, "sanitize", state)
    extractor = extractor_at(runtime, state, guarding)
    cleaned = await all_ended(sanitized(raw, extractor) for raw in state["untrusted"])
    findings = [finding for one in cleaned for finding in one.findings]
    if findings:
        runtime.context.services.telemetry.annotate(findings=findings)
    messages = [one.message for one in cleaned]
    update: dict[str, Any] = {"messages": messages, "untrusted": [], **({"findings": findings} if findings else {})}
    if not state.get("outside"):
        update["outside"] = True
    return {**update, **await guarding.spent()}


@dataclass(frozen=True, kw_only=True)
class Sanitized:
    """One result, cleaned."""

    text: str
    shown: str
    """What of it the model sees: an extract, or the text."""
    message: ToolMessage
    """The same wrapped as data."""
    findings: list[Finding]


async def sanitized(raw: RawResult, extractor: Extractor, *, derived: bool = False) -> Sanitized:
    """Clean one result, look for hidden instructions in it, ask the guards, and have an extract made of it.

    `derived`: a result of ours that may repeat what was read, or an answer made of extracts: no text of a stranger.
    """
    guarding = extractor.guarding
    strict = not derived and guarding.run.services.tools.trust(raw["tool"]).handling == "strict"
    number = extractor.number() if strict else 0
    keeping = extractor.kept(raw) if strict else _kept_already(raw)
    handle, (text, seen) = await asyncio.gather(keeping, _read_in_time(raw["text"]))  # Postgres stores it meanwhile
    ruling, ruled = await guarding.content(text, raw["text"], raw["tool"], raw["call_id"])
    text = ruling.text
    withheld = ruling.denied or any(rule == NOT_CLEANED for rule, _ in seen)
    shown = await extractor.extracted(raw, text, number) if strict and not withheld else text
    content = wrapped(
        shown,
        source=raw["tool"],
        warnings=sorted({rule for rule, _ in seen} - {NOT_CLEANED}),
        handle=handle if shown != text and not ruling.denied else None,
    )
    message = ToolMessage(
        "\n".join(part for part in (raw.get("note"), content) if part),
        tool_call_id=raw["call_id"],
        name=raw["tool"],
        id=f"r-{raw['call_id']}",
        status="success" if raw["ok"] else "error",
        artifact={WHOLE: handle} if handle and not ruling.denied else None,
    )
    findings = [Finding(tool=raw["tool"], call_id=raw["call_id"], rule=rule, excerpt=words) for rule, words in seen]
    return Sanitized(text=text, shown=shown, message=message, findings=[*findings, *ruled])


async def _kept_already(raw: RawResult) -> str | None:
    return raw.get("whole")


async def _read_in_time(raw: str) -> tuple[str, list[tuple[str, str]]]:
    """The cleaned text and what was seen in it."""
    try:
        async with asyncio.timeout(CLEANING_SECONDS):
            return await aside(_read, raw)
    except TimeoutError:
        return WITHHELD, [(NOT_CLEANED, f"{len(raw)} characters, not cleaned within {CLEANING_SECONDS:g} s")]
    except Exception as error:  # noqa: BLE001 - text from outside may break a parser in any way: it stays outside
        return WITHHELD, [(NOT_CLEANED, f"{len(raw)} characters, cleaning failed: {type(error).__name__}")]


def _read(raw: str) -> tuple[str, list[tuple[str, str]]]:
    return clean_and_search(raw, max_chars=READ_CHARS)  # `compress_history` cuts it, by what is asked
