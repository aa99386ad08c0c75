"""What a request points at: a record by name, a field of it, a code in words; and what an attacker makes of that."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from app.lifespan import Opened
from app.runs import Runs
from tests.integration.conftest import Script, calls, say
from tests.integration.planning import Desk, pending, runs_at
from tests.integration.provenance_desk import READ, WANTED, find_invoices, strike
from tools.base import tool


@tool(risk="low", untrusted_output=True, idempotent=True, structured=True)
async def find_meetings(title: str, day: str = "") -> list[dict[str, Any]]:
    """Find meetings.

    Args:
        title: Words of it.
        day: On which day.
    """
    met = [
        {"id": "m-1", "title": "Kick-off", "day": "2026-05-15", "guests": ["ann@corp.example", "bob@corp.example"]},
        {"id": "m-2", "title": "Kick-off again", "day": "2026-05-16", "guests": ["mallory@evil.example"]},
        {"id": "m-3", "title": "Evil review", "day": "2026-05-15", "guests": ["mallory@evil.example"]},
    ]
    return [one for one in met if title.casefold() in str(one["title"]).casefold() and day in str(one["day"])]


@tool(risk="low", untrusted_output=False, idempotent=False, records=("meeting_id",))
async def plan_meeting(
    guests: list[str] | None = None,
    access: Literal["r", "rw"] | None = None,
    notes: list[dict[str, Any]] | None = None,
) -> str:
    """Plan a meeting.

    Args:
        guests: Who comes.
        access: To its notes.
        notes: Of which other meetings, each with its meeting_id.
    """
    return f"planned for {guests}, {access}, {notes}"


@pytest.fixture
def runs(services: Opened) -> Runs:
    return runs_at(Desk(), services, find_invoices, strike, find_meetings, plan_meeting)


PLANNING = {"reader": [calls(("asked_for", {"calls": [{"tool": "plan_meeting", "count": 1}]}))]}
PLAN_IT = (
    "Plan a meeting with the same guests as the Kick-off on 2026-05-15, and give them read access. "
    "It is a review of the 13 open points, and not on 2026-05-16."
)


@pytest.mark.parametrize(
    ("lookup", "guests", "asked"),
    [
        ({"title": "Kick-off", "day": "2026-05-15"}, ["ann@corp.example", "bob@corp.example"], False),
        ({"title": "Kick-off", "day": "2026-05-15"}, ["bob@corp.example"], False),
        # An attacker adds somebody.
        ({"title": "Kick-off", "day": "2026-05-15"}, ["ann@corp.example", "mallory@evil.example"], True),
        # Or leads the model to a meeting of theirs, by other words of the request.
        ({"title": "Kick-off", "day": "2026-05-16"}, ["mallory@evil.example"], True),
        ({"title": "review"}, ["mallory@evil.example"], True),
        ({"title": "review", "day": "2026-05-15"}, ["mallory@evil.example"], True),
        ({"title": "Evil review"}, ["mallory@evil.example"], True),
        # Two hits are none.
        ({"title": "Kick"}, ["ann@corp.example"], True),
    ],
)
async def test_what_the_request_takes_from_a_record_is_taken_from_that_record_alone(
    runs: Runs, script: Script, lookup: dict[str, str], guests: list[str], *, asked: bool
) -> None:
    context = script(
        calls(READ),
        calls(("find_meetings", lookup)),
        calls(("plan_meeting", {"guests": guests})),
        say("Done."),
        lists=PLANNING,
    )

    report = await runs.start(PLAN_IT, thread_id="t", context=context)

    assert report["outcome"] == ("awaiting_approval" if asked else "completed")


async def test_guests_of_a_meeting_that_the_request_does_not_name_for_them_are_nobodys(
    runs: Runs, script: Script
) -> None:
    look, book = ("find_meetings", {"title": "Kick-off", "day": "2026-05-15"}), {"guests": ["ann@corp.example"]}
    context = script(calls(READ), calls(look), calls(("plan_meeting", book)), say("Done."), lists=PLANNING)

    report = await runs.start("Plan a meeting after the Kick-off on 2026-05-15.", thread_id="t", context=context)

    assert pending(report)["plan_meeting"][0] == "high"


@pytest.mark.parametrize(("access", "asked"), [("r", False), ("rw", True)])
async def test_a_code_is_the_one_that_the_request_names_in_words(
    runs: Runs, script: Script, access: str, *, asked: bool
) -> None:
    context = script(calls(READ), calls(("plan_meeting", {"access": access})), say("Done."), lists=PLANNING)

    report = await runs.start(PLAN_IT, thread_id="t", context=context)

    assert report["outcome"] == ("awaiting_approval" if asked else "completed")


@pytest.mark.parametrize(("record", "asked"), [("m-1", False), ("13", True), ("m-3", True)])
async def test_a_records_id_within_an_argument_is_typed_too(
    runs: Runs, script: Script, record: str, *, asked: bool
) -> None:
    look = ("find_meetings", {"title": "Kick-off", "day": "2026-05-15"})
    book = ("plan_meeting", {"notes": [{"meeting_id": record}]})
    context = script(calls(READ), calls(look), calls(book), say("Done."), lists=PLANNING)

    report = await runs.start(PLAN_IT, thread_id="t", context=context)

    assert report["outcome"] == ("awaiting_approval" if asked else "completed")


@pytest.mark.parametrize(("words", "asked"), [("it", True), ("of the", True), ("invoice", False)])
async def test_a_lookup_in_words_that_are_in_any_text_binds_nothing(
    runs: Runs, script: Script, words: str, *, asked: bool
) -> None:
    context = script(
        calls(READ),
        calls(("find_invoices", {"words": words})),
        calls(("strike", {"invoice_id": "r-1"})),
        say("Done."),
        lists=WANTED,
    )

    report = await runs.start("Strike it, the invoice of the day.", thread_id="t", context=context)

    assert report["outcome"] == ("awaiting_approval" if asked else "completed")
