from __future__ import annotations

import pytest

from services.graph_choice import choice

PLAN = [
    "list files and list mail",
    "search for travel policy, search for purchasing policy and search for onboarding, then summarize them",
    "Read docs/a.md, docs/b.md and docs/c.md",
    "Read docs/a.md; read docs/b.md. Compare both documents.",
    "find the supplier of desks, find the price of lamps, and tell me",
    "1. Search for the travel policy\n2. Read mail 003-overdue-invoice\n3. List the files",
    "Please do these:\n- check the stock of lamps\n- fetch https://example.com/prices",
    "Could you review the travel policy and also look up the price of a lamp?",
    "order 2 lamps at 38.25 and send an email to ann@example.com about lunch: hello",
]
REACT = [
    "search for travel",
    "list files",
    "read mail 003-overdue-invoice and answer it",
    "find the cheapest lamp, then order it",
    "Priya asked by mail for new standing desks: find her request, order them, and mail her a confirmation.",
    "search for desks and chairs",
    "send an email to ann@example.com about lunch: come and eat, then go",
    "read docs/a.md and if the price is above 100 read docs/b.md",
    "Which mails of this week need an answer? Draft them into drafts/.",
    "find whoever asked for a desk, and order one",
    "",
    " ; and , ",
    "- one\n- two\n- three",
]


@pytest.mark.parametrize("request_", PLAN)
def test_several_things_that_need_nothing_of_each_other_make_a_plan(request_: str) -> None:
    found = choice(request_)

    assert found.graph == "plan"
    assert "parts of the request need nothing of each other" in found.why


@pytest.mark.parametrize("request_", REACT)
def test_one_thing_or_what_builds_on_what_came_before_does_not(request_: str) -> None:
    assert choice(request_).graph == "react"


def test_a_request_as_long_as_a_book_is_read_in_no_time() -> None:
    assert choice("read docs/a.md and " * 50_000).graph == "plan"
    assert choice("a, " * 300_000).graph == "react"
