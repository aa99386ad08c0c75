"""A run of 200 reads of 2 KB each, with facts to be found again, and four decisions of a person on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from app.lifespan import Opened
from app.runs import Runs
from graph.context import Context, LocalContext
from services.streamed import estimated_tokens
from tests.integration.conftest import Script, calls, decide, ids_of, say
from tests.integration.recording import Recording, with_parts

ITERATIONS, RESULT_CHARS, FACTS = 200, 2_000, 50
REQUEST = "Read all logs. Never order for more than 80 USD without me, and keep CASE-7001 open until 2027-03-31."
STORED = """
SELECT (SELECT sum(octet_length(checkpoint::text) + octet_length(metadata::text)) FROM checkpoints)
     + (SELECT sum(octet_length(blob)) FROM checkpoint_blobs) + (SELECT sum(octet_length(blob)) FROM checkpoint_writes)
     + (SELECT coalesce(sum(octet_length(blob)), 0) FROM results) AS bytes
"""
ORDER = ("place_order", {"item": "Desk lamp", "quantity": 2, "unit_price": 38.25})
DECISIONS: tuple[dict[str, Any], ...] = (
    {"kind": "approve"},
    {"kind": "edit", "args": {"item": "Desk lamp", "quantity": 1, "unit_price": 38.25}},
    {"kind": "reject", "message": "Not from this supplier, ask Iris first."},
    {"kind": "respond", "message": "Use the lamps of room 14, they are spare."},
)
FILLER = "The shift went on without anything to report and the rooms were left as they were found. "


@dataclass(frozen=True, kw_only=True)
class Needle:
    at: int
    line: str
    asked: str
    """Words of a question about it."""
    answer: str
    pinned: bool
    """It holds an id, an amount and an address."""


def needles() -> list[Needle]:
    """Fifty, four iterations apart; every fifth is an id, an amount and an address in one line."""
    made = []
    for n in range(FACTS):
        at = 1 + n * (ITERATIONS - 4) // FACTS
        if n % 5 == 0:
            answer = f"INV-{3000 + n}"
            line = f"Invoice {answer} of vendor{n}@example.com over {n + 11}.50 EUR is due."
            made.append(Needle(at=at, line=line, asked=f"invoice of vendor{n}@example.com", answer=answer, pinned=True))
        else:
            answer = f"shade{n}"
            line = f"Colleague Name{n} said that the door of cellar{n} was painted {answer}."
            made.append(Needle(at=at, line=line, asked=f"colour of the door of cellar{n}", answer=answer, pinned=False))
    return made


@dataclass(kw_only=True)
class Played:
    """What a run left behind."""

    runs: Runs
    recording: Recording
    report: dict[str, Any]
    stored: list[int] = field(default_factory=list)
    """Bytes at the begin, and after each quarter."""

    @property
    def prompts(self) -> list[Sequence[BaseMessage]]:
        """Of the agent's requests, in order."""
        return [question.messages for question in self.recording.questions]

    @property
    def tokens(self) -> list[int]:
        """Of each of them, four characters a token."""
        return [estimated_tokens(prompt) for prompt in self.prompts]

    @property
    def last_prompt(self) -> str:
        return "\n".join(str(message.text) for message in self.prompts[-1])


def write_logs(workspace: Path) -> None:
    """One file an iteration."""
    (workspace / "logs").mkdir(exist_ok=True)
    planted = {needle.at: needle.line for needle in needles()}
    for at in range(ITERATIONS):
        said = f"Log of day {at}.\n{planted.get(at, 'Nothing else.')}\n"
        filler = (FILLER * (RESULT_CHARS // len(FILLER) + 1))[: RESULT_CHARS - len(said)]
        (workspace / "logs" / f"{at}.txt").write_text(said + filler)


async def play(opened: Opened, script: Script, workspace: Path, *, thread: str = "t", **fields: Any) -> Played:
    """The whole run, measured after each quarter."""
    write_logs(workspace)
    turns: list[dict[str, Any]] = []
    for at in range(ITERATIONS):
        if at % (ITERATIONS // len(DECISIONS)) == 0:
            turns.append(calls(ORDER))
        turns.append(calls(("read_file", {"path": f"logs/{at}.txt"})))
    limits = {"max_iterations": 300, "max_tool_calls": 300, "max_tokens": 100_000_000, "max_seconds": 600}
    context: LocalContext = script(*turns, say("done"), **{**limits, **fields})
    recording = Recording(real=opened.services.models)
    runs = with_parts(opened, models=recording)
    report = await runs.start(REQUEST, thread_id=thread, context=context)
    stored = [await _stored(opened)]
    for decision in DECISIONS:
        await decide(opened, ids_of(report)["place_order"], decision["kind"], **_rest(decision))
        report = await runs.resume(thread, context=Context())
        stored.append(await _stored(opened))
    return Played(runs=runs, recording=recording, report=report, stored=stored)


def _rest(decision: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in decision.items() if name != "kind"}


async def _stored(opened: Opened) -> int:
    async with opened.pool.connection() as connection:
        row = await (await connection.execute(STORED)).fetchone()
    return int(row["bytes"]) if row else 0
