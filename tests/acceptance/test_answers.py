"""Answers that come through the server's own routes: one wins, everybody else is told at once that they lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import yaml

from tests.acceptance.conftest import Server

MAIL: Any = {"name": "send_email", "args": {"to": "ann@example.com", "subject": "Hi", "body": "Hello"}}
PAY: Any = {
    "name": "pay_invoice",
    "args": {"payee": "Acme", "iban": "DE89370400440532013000", "amount": 4200, "reference": "R-1"},
}
GO: Any = {"messages": [{"role": "user", "content": "go"}]}
APPROVE = {"type": "approve"}
REJECT = {"type": "reject", "message": "no"}


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client


class Thread:
    """A thread of the server, as a page sees it."""

    def __init__(self, http: httpx.AsyncClient, server: Server, thread_id: str) -> None:
        self.http, self.server, self.id = http, server, thread_id

    async def run(self, **body: Any) -> httpx.Response:
        return await self.http.post(f"/threads/{self.id}/runs/wait", json={"assistant_id": "react", **body})

    async def answer(self, resume: Any, **body: Any) -> httpx.Response:
        return await self.run(command={"resume": resume}, **body)

    async def asked(self) -> dict[str, Any]:
        """{"id", "checkpoint", "actions"} of the open question."""
        state = (await self.http.get(f"/threads/{self.id}/state")).json()
        [interrupt] = [one for task in state["tasks"] for one in task["interrupts"]]
        return {
            "id": interrupt["id"],
            "checkpoint": state["checkpoint"],
            "actions": [action["name"] for action in interrupt["value"]["action_requests"]],
        }

    def rows(self) -> dict[str, str]:
        query = "SELECT tool, status FROM approvals WHERE thread_id = %s ORDER BY created_at, position"
        with psycopg.connect(self.server.database_url) as connection:
            return dict(connection.execute(query, (self.id,)).fetchall())

    def effects(self) -> list[str]:
        with psycopg.connect(self.server.database_url) as connection:
            rows = connection.execute("SELECT tool FROM effects WHERE thread_id = %s", (self.id,)).fetchall()
        return [tool for (tool,) in rows]

    def release_mail(self) -> None:
        """As the timer does at the deadline."""
        with psycopg.connect(self.server.database_url, autocommit=True) as connection:
            connection.execute(
                "UPDATE approvals SET deadline = now() WHERE thread_id = %s AND deadline IS NOT NULL", (self.id,)
            )
            connection.execute(
                "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE args ->> 'thread_id' = %s", (self.id,)
            )


@pytest.fixture
def waiting(http: httpx.AsyncClient, server: Server, tmp_path: Path) -> Any:
    """Starts a thread whose model makes these turns' calls, and gives it once it waits."""

    async def begin(*turns: list[dict[str, Any]]) -> Thread:
        script = tmp_path / f"{uuid4().hex}.yaml"
        told = [*({"tool_calls": turn} for turn in turns), {"content": "done"}]
        script.write_text(yaml.safe_dump({"turns": told}))
        made = (await http.post("/threads", json={})).json()
        thread = Thread(http, server, made["thread_id"])
        await thread.run(input=GO, context={"model": f"scripted:{script}"})
        return thread

    return begin


async def _mail_sent_meanwhile(thread: Thread) -> None:
    thread.release_mail()
    for _ in range(1_000):
        state = (await thread.http.get(f"/threads/{thread.id}/state")).json()
        asked = [one for task in state["tasks"] for one in task["interrupts"]]
        if asked and [action["name"] for action in asked[0]["value"]["action_requests"]] == ["pay_invoice"]:
            return
    pytest.fail("the mail never went out")


def _named(by: str, shown: dict[str, Any], answer: Any) -> dict[str, Any]:
    """The request of a client that names its question so."""
    if by == "interrupt":
        return {"command": {"resume": {shown["id"]: answer}}}
    if by == "checkpoint":
        return {"command": {"resume": answer}, "checkpoint": shown["checkpoint"]}
    if by == "checkpoint id":
        return {"command": {"resume": answer}, "checkpoint_id": shown["checkpoint"]["checkpoint_id"]}
    return {"command": {"resume": answer}}


NAMING = ["interrupt", "checkpoint", "checkpoint id", "nothing"]


async def test_of_many_answers_one_wins_and_the_others_get_409(waiting: Any) -> None:
    thread = await waiting([PAY])
    shown = await thread.asked()
    answers = [
        _named(NAMING[number % 4], shown, {"decisions": [APPROVE if number % 2 else REJECT]}) for number in range(8)
    ]

    ends = await asyncio.gather(*(thread.run(**answer) for answer in answers))

    assert sorted(end.status_code for end in ends) == [200] + [409] * 7
    [won] = [end.json() for end in ends if end.status_code == 200]
    assert won["outcome"] == "completed"
    status = thread.rows()["pay_invoice"]
    assert all(f"already decided: {status} by" in end.json()["detail"] for end in ends if end.status_code == 409)
    assert thread.effects() == (["pay_invoice"] if status == "approved" else [])


@pytest.mark.parametrize("by", NAMING)
@pytest.mark.parametrize("answer", [[APPROVE], [APPROVE, APPROVE], [REJECT, APPROVE]])
async def test_a_page_that_lists_mail_and_payment_approves_no_payment_once_the_mail_is_sent(
    waiting: Any, by: str, answer: list[Any]
) -> None:
    thread = await waiting([MAIL, PAY])
    shown = await thread.asked()
    assert shown["actions"] == ["send_email", "pay_invoice"]
    await _mail_sent_meanwhile(thread)

    end = await thread.run(**_named(by, shown, {"decisions": answer}))

    assert end.status_code == 409
    assert thread.rows() == {"send_email": "approved", "pay_invoice": "pending"}
    assert thread.effects() == ["send_email"]


@pytest.mark.parametrize("by", NAMING)
async def test_a_page_that_shows_the_mail_approves_no_payment_that_is_asked_about_now(waiting: Any, by: str) -> None:
    thread = await waiting([MAIL], [PAY])
    shown = await thread.asked()
    await _mail_sent_meanwhile(thread)

    end = await thread.run(**_named(by, shown, {"decisions": [APPROVE]}))

    assert end.status_code == 409
    assert thread.rows()["pay_invoice"] == "pending"
    assert thread.effects() == ["send_email"]


async def test_a_message_makes_no_page_that_shows_the_mail_approve_the_payment(waiting: Any) -> None:
    """It begins a turn in which the payment alone was asked about; the page is of the turn before."""
    thread = await waiting([MAIL], [PAY])
    await _mail_sent_meanwhile(thread)
    await thread.run(input={"messages": [{"role": "user", "content": "are you there?"}]})

    end = await thread.answer({"decisions": [APPROVE]})

    assert end.status_code == 409
    assert thread.rows()["pay_invoice"] == "pending"
    assert thread.effects() == ["send_email"]


async def test_one_that_names_neither_is_refused_once_the_thread_was_asked_twice(waiting: Any) -> None:
    thread = await waiting([MAIL], [PAY])
    await thread.answer({"decisions": [REJECT]})

    end = await thread.answer({"decisions": [APPROVE]})

    assert end.status_code == 409
    assert "asked 2 times since its last request" in end.json()["detail"]
    assert thread.rows()["pay_invoice"] == "pending"


async def test_an_answer_that_covers_the_first_of_two_leaves_the_second_open(waiting: Any) -> None:
    thread = await waiting([MAIL, PAY])

    end = await thread.answer([{"type": "accept", "args": {}}])

    assert end.status_code == 200
    assert thread.rows() == {"send_email": "approved", "pay_invoice": "pending"}
    assert (await thread.asked())["actions"] == ["pay_invoice"]


@pytest.mark.parametrize(
    "resume",
    [
        "yes",
        {"decisions": "approve"},
        {"decisions": [{"no": "type"}]},
        {"decisions": [{"type": "launch"}]},
        {"decisions": [APPROVE, APPROVE]},
        {"decisions": [{"type": "edit", "edited_action": {"name": "pay_invoice", "args": {"amount": "a lot"}}}]},
        {"decisions": [{"type": "edit", "edited_action": {"name": "send_email", "args": PAY["args"]}}]},
    ],
    ids=["text", "no list", "no type", "unknown type", "one too many", "unfit edit", "another tool"],
)
async def test_an_answer_of_the_wrong_shape_is_422_and_decides_nothing(waiting: Any, resume: Any) -> None:
    thread = await waiting([PAY])
    shown = await thread.asked()

    end = await thread.answer(resume)

    assert end.status_code == 422
    assert thread.rows() == {"pay_invoice": "pending"}
    assert await thread.asked() == shown


async def test_an_answer_that_says_two_things_of_one_call_decides_nothing(waiting: Any) -> None:
    thread = await waiting([PAY])
    with psycopg.connect(thread.server.database_url) as connection:
        [(named,)] = connection.execute("SELECT id FROM approvals WHERE thread_id = %s", (thread.id,)).fetchall()

    end = await thread.answer({"decisions": [REJECT, {**APPROVE, "approval_id": named}]})

    assert end.status_code == 422
    assert thread.rows() == {"pay_invoice": "pending"}


async def test_of_an_answer_with_one_bad_decision_nothing_is_taken(waiting: Any) -> None:
    thread = await waiting([MAIL, PAY])
    bad = {"type": "edit", "edited_action": {"name": "pay_invoice", "args": {**PAY["args"], "amount": -1}}}

    end = await thread.answer({"decisions": [APPROVE, bad]})

    assert end.status_code == 422
    assert set(thread.rows().values()) == {"pending"}


async def test_an_edit_from_a_form_is_coerced_run_and_shown_as_edited(waiting: Any) -> None:
    thread = await waiting([PAY])
    args = {**PAY["args"], "amount": "12.50"}

    end = await thread.answer({"decisions": [{"type": "edit", "edited_action": {"name": "pay_invoice", "args": args}}]})

    results = [message["content"] for message in end.json()["messages"] if message["type"] == "tool"]
    assert "A person changed the arguments to" in results[0]
    assert "payment PAY-" in results[0]
    assert "12.50 USD" in results[0]
    assert thread.rows() == {"pay_invoice": "edited"}


async def test_an_answer_by_the_checkpoint_it_was_shown_keeps_a_message_that_came_since(waiting: Any) -> None:
    thread = await waiting([PAY])
    shown = await thread.asked()
    await thread.run(input={"messages": [{"role": "user", "content": "and hurry"}]})

    end = await thread.run(**_named("checkpoint", shown, {"decisions": [APPROVE]}))

    assert end.status_code == 200
    said = [message["content"] for message in end.json()["messages"] if message["type"] == "human"]
    assert said == ["go", "and hurry"]
    assert thread.effects() == ["pay_invoice"]


async def test_an_answer_to_a_question_that_was_never_asked_is_409(waiting: Any) -> None:
    thread = await waiting([PAY])

    end = await thread.answer({"0" * 32: {"decisions": [APPROVE]}})

    assert end.status_code == 409
    assert "no such question" in end.json()["detail"]
    assert thread.rows() == {"pay_invoice": "pending"}


async def test_an_answer_on_a_deleted_thread_is_404(waiting: Any) -> None:
    thread = await waiting([PAY])
    await thread.http.delete(f"/threads/{thread.id}")

    end = await thread.answer({"decisions": [APPROVE]})

    assert end.status_code == 404
    assert thread.rows() == {"pay_invoice": "cancelled"}


async def test_a_plain_message_does_not_discard_the_question(waiting: Any) -> None:
    thread = await waiting([PAY])

    await thread.run(input={"messages": [{"role": "user", "content": "never mind"}]})

    assert (await thread.asked())["actions"] == ["pay_invoice"]
    assert thread.effects() == []


async def test_the_answer_counts_although_the_server_dies_before_it_goes_on(waiting: Any, server: Server) -> None:
    thread = await waiting([PAY])
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 1))", (thread.id,))  # nobody can run it now
        await thread.answer({"decisions": [APPROVE]})
        server.kill()
    server.start()

    with psycopg.connect(server.database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE args ->> 'thread_id' = %s", (thread.id,)
        )
    for _ in range(2_000):
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            if (await http.get("/ok")).is_success and thread.effects() == ["pay_invoice"]:
                return
    pytest.fail("nobody went on with what was decided")
