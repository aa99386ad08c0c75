"""Which record a lookup was about, and what a person said to take from it."""

from __future__ import annotations

from typing import Any

import pytest

from services.pointing import meant, taken, telling
from services.provenance import Bound, Source, Trusted

PLAN, OLD = {"id": "3", "filename": "plan.docx"}, {"id": "4", "filename": "old-plan.docx"}


def test_one_hit_is_meant() -> None:
    assert meant([OLD], {"query": "plan"}) == OLD
    assert meant([], {"query": "plan"}) is None


def test_of_several_hits_the_one_whose_whole_name_was_asked_for_is_meant() -> None:
    assert meant([OLD, PLAN], {"filename": "plan.docx"}) == PLAN
    assert meant([OLD, PLAN], {"filename": "Plan.DOCX", "owner": None}) == PLAN


@pytest.mark.parametrize(
    ("records", "args"),
    [
        ([PLAN, {"id": "9", "filename": "plan.docx"}], {"filename": "plan.docx"}),  # an attacker made the second
        ([PLAN, {"id": "9", "filename": "PLAN.docx"}], {"filename": "plan.docx"}),
        ([OLD, {"id": "9", "content": "plan.docx"}], {"filename": "plan.docx"}),  # it only says so
        ([OLD, {"id": "9", "filename": "x", "content": "plan.docx"}], {"query": "plan.docx"}),
        ([OLD, PLAN], {"filename": "plan"}),
        ([OLD, PLAN], {"filename": "plan.docx", "owner": "ann"}),
        ([OLD, {"id": "9", "filename": ["plan.docx"]}], {"filename": "plan.docx"}),
        ([OLD, PLAN], {}),
        ([OLD, PLAN], {"filename": ""}),
    ],
)
def test_of_several_hits_none_is_meant_that_an_attacker_could_have_made(
    records: list[dict[str, Any]], args: dict[str, Any]
) -> None:
    assert meant(records, args) is None


@pytest.mark.parametrize("cut", [{"limit": 1}, {"max_results": 1}, {"top_n": 1.0}, {"page": 2}, {"offset": 1}])
def test_where_the_lookup_had_others_left_out_no_hit_is_the_one(cut: dict[str, Any]) -> None:
    assert meant([PLAN], {"filename": "plan.docx", **cut}) is None


@pytest.mark.parametrize("whole", [{"limit": 10}, {"page": 1}, {"skip": 0}, {"first_name": "1"}, {"number": 1}])
def test_where_it_had_none_left_out_the_one_hit_is(whole: dict[str, Any]) -> None:
    assert meant([PLAN], {"filename": "plan.docx", **whole}) == PLAN


@pytest.mark.parametrize("words", ["the", "please", "to", "of the", "", "?!", "  my "])
def test_words_that_are_in_any_text_point_at_nothing(words: str) -> None:
    assert not telling({"query": words, "date": None})


def test_words_that_tell_one_record_from_another_point() -> None:
    assert telling({"query": "the kick-off"})
    assert telling({"number": 7})


KICK_OFF = {"id": "24", "title": "Kick-off", "participants": ["ann@example.org", "bob@example.org"], "room": "2"}
ASKED = "Plan a review with the same participants as the 'Kick-off' event on 2024-05-15. Ask ann about the venue."
LOOKUP = {"query": "Kick-off", "date": "2024-05-15"}


def names(text: str, args: dict[str, Any]) -> list[str]:
    return [name for name, _ in taken(KICK_OFF, args, [text])]


@pytest.mark.parametrize(
    "text",
    [
        ASKED,
        "Use the SAME  participants as in “Kick-off” on 2024-05-15",
        "same participant as kick-off, 2024-05-15, please",
    ],
)
def test_a_field_that_a_person_said_to_take_from_the_record_they_named_is_taken(text: str) -> None:
    assert list(taken(KICK_OFF, LOOKUP, ["Hello.", text])) == [("participants", KICK_OFF["participants"])]


@pytest.mark.parametrize(
    "text",
    [
        "Plan a review after the 'Kick-off' event on 2024-05-15",  # no field is named
        "Plan a review with the participants of the 'Kick-off' event on 2024-05-15",
        "Use the same room for the participants, as the 'Kick-off' event on 2024-05-15 had",
        "Use the same participants as 'Review'. The 'Kick-off' event on 2024-05-15 is over.",  # another sentence
        "Use the same participants as 'Review' and tell me of Kick-off on 2024-05-15",  # another record
        "Use the same participants as 'Kick-off'. It is on 2024-05-15.",
        "Use the same participants as the",
    ],
)
def test_a_field_or_a_record_that_was_not_pointed_at_is_not_taken(text: str) -> None:
    assert names(text, LOOKUP) == []


@pytest.mark.parametrize(
    "args",
    [
        {"query": "review"},  # words of the request, which an attacker put into a record
        {"query": "venue"},
        {"query": "event"},
        {"query": "event", "date": "2024-05-15"},
        {"query": "Kick-off", "date": "2024-05-16"},
        {"query": "the"},
        {"query": "evil"},
        {"query": ""},
        {},
    ],
)
def test_another_record_that_words_of_the_request_find_gives_nothing(args: dict[str, Any]) -> None:
    assert names(ASKED, args) == []


def test_what_is_taken_counts_for_its_own_argument_of_its_own_kind_of_record() -> None:
    said = [Source(name="the request", text=ASKED)]
    bound = [
        Bound(value=one, tool="search_calendar_events", argument="participants") for one in KICK_OFF["participants"]
    ]
    trusted = Trusted(said, [*bound, Bound(value="24", tool="search_calendar_events")])

    assert trusted.taken(KICK_OFF["participants"], "create_calendar_event", "participants") == "search_calendar_events"
    assert trusted.taken("bob@example.org", "create_calendar_event", "participants") == "search_calendar_events"
    evil = [*KICK_OFF["participants"], "mallory@evil.example"]
    assert trusted.taken(evil, "create_calendar_event", "participants") is None
    assert trusted.taken(KICK_OFF["participants"], "send_email", "participants") is None
    assert trusted.taken(KICK_OFF["participants"], "create_calendar_event", "recipients") is None
    assert trusted.taken([], "create_calendar_event", "participants") is None
    assert trusted.taken("24", "create_calendar_event", "participants") is None
    assert trusted.record("bob@example.org", "create_calendar_event", "event_id") is None
    assert trusted.origin("bob@example.org") is None
