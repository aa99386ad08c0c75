"""agent-inbox and Studio against the server: what they send, over plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.chat_pages import AgentInbox, ChatUi, Threads
from tests.acceptance.conftest import DELETE, MAIL, ORDER, Server

PAY: dict[str, Any] = {
    "name": "pay_invoice",
    "args": {"payee": "Acme", "iban": "DE89370400440532013000", "amount": 4200.0, "reference": "R-1"},
}


@pytest.fixture
async def threads(server: Server, tmp_path: Path) -> AsyncIterator[Threads]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        yield Threads(http=http, server=server, folder=tmp_path)


async def test_inbox_lists_the_thread_and_accepts(threads: Threads) -> None:
    """The amount is 4200.0 here and 4200 when it comes back."""
    page = await threads.inbox([PAY])

    reply = await page.accept()

    assert (reply.status, reply.errors) == (200, [])
    assert page.shown["args"]["amount"] == 4200
    assert await threads.ended(page.thread) == ("idle", "completed")


async def test_inbox_edits_a_number_as_text(threads: Threads) -> None:
    page = await threads.inbox([ORDER])

    refused = await page.edit(quantity="many")
    await page.edit(quantity="3")

    assert (refused.status, "quantity" in refused.detail) == (422, True)
    [result] = await threads.messages(page.thread, "tool")
    assert "placed: 3 x Desk lamp" in result


@pytest.mark.parametrize(("call", "status"), [(ORDER, "responded"), (DELETE, "done")])
async def test_inbox_responds(threads: Threads, call: dict[str, Any], status: str) -> None:
    page = await threads.inbox([call])

    await page.respond("I saw to it")

    assert threads.rows(page.thread) == [(call["name"], status)]
    assert await threads.ended(page.thread) == ("idle", "completed")


async def test_inbox_shows_the_first_of_several_actions_and_each_accept_is_for_the_one_it_shows(
    threads: Threads,
) -> None:
    page = await threads.inbox([MAIL, ORDER])

    await page.accept()
    assert threads.rows(page.thread) == [("send_email", "approved"), ("place_order", "pending")]
    await page.look()
    second = await page.accept()

    assert (second.status, second.detail, second.errors) == (200, "", [])
    assert page.shown["action"] == "place_order"
    assert threads.effects(page.thread) == ["place_order", "send_email"]


@pytest.mark.parametrize("calls", [[[MAIL], [PAY]], [[MAIL, PAY]]], ids=["one after the other", "together"])
async def test_an_inbox_that_still_shows_the_mail_approves_no_payment(
    threads: Threads, calls: list[list[dict[str, Any]]]
) -> None:
    page = await threads.inbox(*calls)
    await threads.deadline_passes(page.thread, until=["pay_invoice"])

    late, edit, response = await page.accept(), await page.edit(body="Bye"), await page.respond("no")

    assert (late.status, "was already decided: approved by timer" in late.detail) == (409, True)
    assert (edit.status, response.status) == (409, 409)
    assert "asked 2 times since its last request" in response.detail
    assert threads.rows(page.thread) == [("send_email", "approved"), ("pay_invoice", "pending")]


async def test_an_inbox_that_still_shows_the_mail_of_an_earlier_request_approves_no_payment(threads: Threads) -> None:
    """The thread has asked but once since its last request, so the answer's own words must tell."""
    page = await threads.inbox([MAIL])
    await threads.deadline_passes(page.thread, until=[])
    threads.script([PAY])
    await (await ChatUi(http=threads.http).open(page.thread)).send("now pay")

    late, edit = await page.accept(), await page.edit(body="Bye")

    assert (late.status, "was already decided: approved by timer" in late.detail) == (409, True)
    assert edit.status == 409
    assert threads.rows(page.thread) == [("send_email", "approved"), ("pay_invoice", "pending")]


async def test_an_accept_that_can_mean_either_of_two_equal_calls_is_refused(threads: Threads) -> None:
    page = await threads.inbox([ORDER], [ORDER])
    await page.accept()

    unclear = await page.accept()

    assert (unclear.status, "asked about place_order more than once" in unclear.detail) == (409, True)
    assert threads.rows(page.thread) == [("place_order", "approved"), ("place_order", "pending")]


@pytest.mark.parametrize("again", [ORDER, {**ORDER, "args": {**ORDER["args"], "quantity": 9}}], ids=["equal", "other"])
async def test_an_inbox_of_an_earlier_request_decides_no_call_of_the_same_tool(
    threads: Threads, again: dict[str, Any]
) -> None:
    page = await threads.inbox([ORDER])
    await page.accept()
    threads.script([again])
    await (await ChatUi(http=threads.http).open(page.thread)).send("and again")

    accept, edit = await page.accept(), await page.edit(quantity="7")

    assert (accept.status, edit.status) == (409, 409)
    assert threads.rows(page.thread) == [("place_order", "approved"), ("place_order", "pending")]


async def test_of_two_equal_calls_asked_at_once_the_first_is_accepted(threads: Threads) -> None:
    page = await threads.inbox([ORDER, ORDER])

    await page.accept()

    assert threads.rows(page.thread) == [("place_order", "approved"), ("place_order", "pending")]


async def test_an_accept_that_sends_no_call_back_counts_while_there_is_one_question_only(threads: Threads) -> None:
    page = await threads.inbox([ORDER], [PAY])
    page.shown = {}

    first, second = await page.accept(), await page.accept()

    assert (first.status, second.status) == (200, 409)
    assert threads.rows(page.thread) == [("place_order", "approved"), ("pay_invoice", "pending")]


async def test_inbox_accepts_after_somebody_wrote_to_the_waiting_thread(threads: Threads) -> None:
    thread = await threads.begin([ORDER])
    await (await ChatUi(http=threads.http).open(thread)).send("hurry")
    page = await AgentInbox(http=threads.http).open(thread)

    await page.accept()

    assert threads.effects(thread) == ["place_order"]
    assert await threads.ended(thread) == ("idle", "completed")


async def test_inbox_accepts_nothing_on_a_thread_that_never_asked_for_it(threads: Threads) -> None:
    page = await threads.inbox([ORDER])
    page.shown = {**page.shown, "args": {**page.shown["args"], "quantity": 200}}

    refused = await page.accept()

    assert (refused.status, "has no such question" in refused.detail) == (409, True)
    assert threads.rows(page.thread) == [("place_order", "pending")]


async def test_inbox_resolves_a_thread(threads: Threads) -> None:
    page = await threads.inbox([ORDER])

    assert await page.resolve() == 200

    assert await threads.ended(page.thread) == ("idle", "cancelled")
    assert threads.rows(page.thread) == [("place_order", "cancelled")]


async def test_an_assistant_made_in_a_form_may_leave_fields_empty_and_send_numbers_as_text(threads: Threads) -> None:
    form = {"model": threads.script([ORDER]), "max_iterations": "7", "max_usd": None, "tool_limits": None}
    assistant = (await threads.http.post("/assistants", json={"graph_id": "react", "context": form})).json()
    thread = (await threads.http.post("/threads", json={})).json()["thread_id"]
    said = {"messages": [{"type": "human", "content": [{"type": "text", "text": "go"}]}]}
    body = {"assistant_id": assistant["assistant_id"], "input": said}

    await threads.http.post(f"/threads/{thread}/runs/wait", json=body)

    kept = (await threads.http.get(f"/threads/{thread}/state")).json()["values"]["settings"]
    assert (kept["max_iterations"], kept["max_usd"], kept["tool_limits"]) == (7, 1.0, "")
    assert await threads.asked(thread) == ["place_order"]


@pytest.mark.parametrize("place", ["context", "config"])
async def test_text_that_is_no_number_in_a_form_is_refused_in_one_line(threads: Threads, place: str) -> None:
    """Older pages send settings as `configurable`, among ids of the server's own."""
    form = {"max_iterations": "many", "user_id": "ann"}
    given = {"context": form} if place == "context" else {"config": {"configurable": form}}
    thread = (await threads.http.post("/threads", json={})).json()["thread_id"]
    said = {"messages": [{"role": "user", "content": "list files"}]}

    body = {"assistant_id": "react", "input": said, **given}
    ended = (await threads.http.post(f"/threads/{thread}/runs/wait", json=body)).json()

    assert ended["__error__"]["error"] == "BadSetting"
    assert ended["__error__"]["message"].startswith("context field max_iterations: ")
    assert "\n" not in ended["__error__"]["message"]
