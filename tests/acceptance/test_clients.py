"""agent-chat-ui against the server: what it sends, over plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.chat_pages import ChatUi, Threads
from tests.acceptance.conftest import MAIL, ORDER, Server

PAY: dict[str, Any] = {
    "name": "pay_invoice",
    "args": {"payee": "Acme", "iban": "DE89370400440532013000", "amount": 4200.0, "reference": "R-1"},
}
APPROVE = {"type": "approve"}
REJECT = {"type": "reject", "message": "too dear"}


@pytest.fixture
async def threads(server: Server, tmp_path: Path) -> AsyncIterator[Threads]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        yield Threads(http=http, server=server, folder=tmp_path)


async def test_chat_sends_a_message_as_blocks_shows_the_question_and_approves(threads: Threads) -> None:
    page = await ChatUi(http=threads.http).open()
    first = await page.send("order 2 threads lamps at 38.25")
    [action] = await page.look()

    second = await page.answer(APPROVE)

    assert (first.status, first.errors, second.status, second.errors) == (200, [], 200, [])
    assert (action["name"], action["args"]["quantity"]) == ("place_order", 2)
    last = [data for name, data in second.events if name == "values"][-1]
    assert "placed: 2 x" in last["answer"]
    assert await threads.ended(page.thread) == ("idle", "completed")


EDIT: dict[str, Any] = {"type": "edit", "edited_action": {**ORDER, "args": {**ORDER["args"], "quantity": "3"}}}


@pytest.mark.parametrize(
    ("decision", "said"),
    [(EDIT, "placed: 3 x Desk lamp"), (REJECT, "A person rejected this call: too dear")],
    ids=["edit", "reject"],
)
async def test_chat_edits_and_rejects(threads: Threads, decision: Any, said: str) -> None:
    page = await threads.chat([ORDER])

    assert (await page.answer(decision)).errors == []

    [result] = await threads.messages(page.thread, "tool")
    assert said in result
    assert await threads.ended(page.thread) == ("idle", "completed")


async def test_chat_answers_several_actions_at_once(threads: Threads) -> None:
    page = await threads.chat([MAIL, ORDER])

    assert (await page.answer(APPROVE, REJECT)).errors == []

    assert threads.rows(page.thread) == [("send_email", "approved"), ("place_order", "rejected")]
    assert await threads.ended(page.thread) == ("idle", "completed")


async def test_chat_is_told_why_an_edit_does_not_fit_and_may_try_again(threads: Threads) -> None:
    page = await threads.chat([ORDER])
    wrong = {"type": "edit", "edited_action": {**ORDER, "args": {**ORDER["args"], "quantity": "many"}}}

    refused = await page.answer(wrong)

    assert (refused.status, "quantity: Input should be a valid integer" in refused.detail) == (422, True)
    assert threads.rows(page.thread) == [("place_order", "pending")]
    assert (await page.answer(EDIT)).errors == []
    assert threads.rows(page.thread) == [("place_order", "edited")]


async def test_chat_answers_one_question_after_the_other_in_a_turn(threads: Threads) -> None:
    page = await threads.chat([ORDER], [PAY])
    await page.answer(APPROVE)
    [action] = await page.look()

    assert action["name"] == "pay_invoice"
    assert (await page.answer(APPROVE)).errors == []
    assert threads.effects(page.thread) == ["pay_invoice", "place_order"]


async def test_a_second_chat_page_is_told_who_was_first(threads: Threads) -> None:
    thread = await threads.begin([ORDER])
    first, second = await ChatUi(http=threads.http).open(thread), await ChatUi(http=threads.http).open(thread)
    await first.answer(REJECT)

    late = await second.answer(APPROVE)

    assert (late.status, "was already decided: rejected by " in late.detail) == (409, True)


@pytest.mark.parametrize("calls", [[[MAIL], [PAY]], [[MAIL, PAY]]], ids=["one after the other", "together"])
async def test_a_chat_page_that_still_shows_the_mail_approves_no_payment(
    threads: Threads, calls: list[list[dict[str, Any]]]
) -> None:
    page = await threads.chat(*calls)
    await threads.deadline_passes(page.thread, until=["pay_invoice"])

    late = await page.answer(*([APPROVE] * len(calls[0])))

    assert (late.status, "was already decided: approved by timer" in late.detail) == (409, True)
    assert threads.rows(page.thread) == [("send_email", "approved"), ("pay_invoice", "pending")]
    await page.look()
    assert (await page.answer(REJECT)).errors == []


async def test_a_message_to_a_waiting_thread_leaves_the_question_where_chat_shows_it(threads: Threads) -> None:
    """The page draws a question below the last message if the agent wrote that, and makes up results for open calls."""
    page = await threads.chat([ORDER])

    await page.send("hurry")
    [action] = await page.look()

    assert action["name"] == "place_order"
    assert [one["type"] for one in page.messages] == ["human", "ai", "human", "ai"]
    assert page.messages[-1]["content"].startswith("Waiting for a decision: place_order.")
    assert threads.rows(page.thread) == [("place_order", "pending")]
    assert (await page.answer(APPROVE)).errors == []
    assert threads.effects(page.thread) == ["place_order"]
    assert await threads.ended(page.thread) == ("idle", "completed")


async def test_a_message_from_a_chat_page_that_is_behind_reaches_the_thread_as_it_stands(threads: Threads) -> None:
    page = await threads.chat([MAIL], [PAY])
    await threads.deadline_passes(page.thread, until=["pay_invoice"])

    await page.send("how is it going?")
    [action] = await page.look()

    assert action["name"] == "pay_invoice"
    assert [one["type"] for one in page.messages] == ["human", "ai", "tool", "ai", "human", "ai"]
    assert page.messages[2]["content"] == "sent to ann@example.com"
    assert threads.rows(page.thread) == [("send_email", "approved"), ("pay_invoice", "pending")]
    assert (await page.answer(APPROVE)).errors == []
    assert threads.effects(page.thread) == ["pay_invoice", "send_email"]


async def test_chat_resolves_a_thread_and_no_list_shows_it_as_waiting(threads: Threads) -> None:
    page = await threads.chat([ORDER])

    assert (await page.resolve()).errors == []

    assert await threads.ended(page.thread) == ("idle", "cancelled")
    assert threads.rows(page.thread) == [("place_order", "cancelled")]


async def test_a_chat_page_that_is_behind_resolves_the_thread_and_what_was_done_stays_done(threads: Threads) -> None:
    page = await threads.chat([MAIL], [PAY])
    await threads.deadline_passes(page.thread, until=["pay_invoice"])

    await page.resolve()

    assert await threads.messages(page.thread, "tool") == [
        "sent to ann@example.com",
        "Not run: a person ended the run.",
    ]
    assert threads.rows(page.thread) == [("send_email", "approved"), ("pay_invoice", "cancelled")]


async def test_chat_edits_an_earlier_message_and_the_thread_goes_another_way(threads: Threads) -> None:
    page = await threads.chat([ORDER])

    await page.edit_first("order 2 desk lamps at 38.25")

    assert await threads.messages(page.thread, "human") == ["order 2 desk lamps at 38.25"]
    assert await threads.asked(page.thread) == ["place_order"]
    assert threads.rows(page.thread) == [("place_order", "cancelled"), ("place_order", "pending")]
