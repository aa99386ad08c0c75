"""Deciding on the page, by clicking, in headless Chromium against a real `langgraph dev`."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.acceptance.browser import Chromium
from tests.acceptance.conftest import DELETE, MAIL, ORDER
from tests.acceptance.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
DOUBT = """
INSERT INTO effects (key, thread_id, tool, args, state, holder) VALUES (%s, %s, 'place_order', '{}', 'unknown', 'h')
"""


async def _opened(tab: Page, approval_id: str) -> Locator:
    await tab.goto("/inbox")
    entry = tab.locator(f'[data-id="{approval_id}"].entry')
    await entry.locator(".summary").click()
    await expect(entry.locator(".item")).to_be_visible()
    return entry


async def test_approved_by_clicking(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(ORDER)
    entry = await _opened(tab, asked)
    await expect(entry.locator("dl.order")).to_contain_text("76.50 USD")

    await entry.get_by_role("button", name="Approve", exact=True).click()

    await expect(tab.locator("main > .notice")).to_contain_text("Approved: Order 2 x Desk lamp for 76.50 USD")
    await expect(entry).to_have_count(0)
    await expect(tab.locator(".count")).to_have_text("Nothing waits for you.")
    assert desk.row(asked)["status"] == "approved"


async def test_a_mail_looks_like_a_mail(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(MAIL)
    entry = await _opened(tab, asked)

    call = entry.locator("dl.mail")
    await expect(call.locator("dt").nth(0)).to_have_text("To")
    await expect(call.locator("dd").nth(0)).to_contain_text("ann@example.com")
    await expect(call.locator("dd").nth(1)).to_contain_text("Hi")
    await expect(call.locator(".body dd")).to_contain_text("Hello")
    await expect(call.locator(".origin").nth(0)).to_have_text("from the model")


async def test_an_invalid_edit_keeps_what_was_typed_and_a_valid_one_is_taken(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(ORDER)
    entry = await _opened(tab, asked)
    await entry.locator("details.reject summary").click()
    await entry.get_by_label("Reason").fill("half a thought")
    await entry.locator("details.edit summary").click()
    await entry.get_by_label("Quantity").fill("lots")
    await entry.get_by_label("Item").fill("Floor lamp")
    await entry.get_by_role("button", name="Approve as edited").click()

    await expect(entry.locator(".problem")).to_contain_text("quantity")
    quantity = entry.get_by_label("Quantity")
    await expect(quantity).to_have_value("lots")
    await expect(quantity).to_have_attribute("aria-invalid", "true")
    await expect(quantity).to_be_focused()
    await expect(entry.get_by_label("Item")).to_have_value("Floor lamp")
    await expect(entry.locator("details.reject textarea")).to_have_value("half a thought")

    await quantity.fill("3")
    await entry.get_by_role("button", name="Approve as edited").click()

    await expect(tab.locator("main > .notice")).to_contain_text("Approved as edited: Order 3 x Floor lamp for 114.75")
    row = desk.row(asked)
    assert row["status"] == "edited"
    assert row["decision"]["args"] == {"item": "Floor lamp", "quantity": 3, "unit_price": 38.25}


async def test_a_browser_sends_back_what_was_not_touched_to_the_letter(desk: Desk, tab: Page) -> None:
    args = {"to": "ann@example.com", "subject": "S", "body": "\n\n first\r\nlast\n\n"}
    [asked] = await desk.asked({"name": "send_email", "args": args})
    entry = await _opened(tab, asked)
    await entry.locator("details.edit summary").click()
    await entry.get_by_label("Subject").fill("Another")
    await entry.get_by_role("button", name="Approve as edited").click()

    await expect(tab.locator("main > .notice")).to_contain_text("Approved as edited")
    assert desk.row(asked)["decision"]["args"] == {**args, "subject": "Another"}


async def test_an_edit_that_makes_the_call_critical_is_not_taken(desk: Desk, tab: Page) -> None:
    nested = desk.insert("delete_records", {"table": "suppliers", "ids": ["1"]}, risk="high")
    entry = await _opened(tab, nested)
    await entry.locator("details.edit summary").click()
    await entry.get_by_label("Ids").fill("[1, ")
    await entry.get_by_role("button", name="Approve as edited").click()
    await expect(entry.locator(".wrong")).to_contain_text("not JSON")

    await entry.get_by_label("Ids").fill('["1", 2]')
    await entry.get_by_role("button", name="Approve as edited").click()

    await expect(entry.locator(".problem")).to_contain_text("critical")
    await expect(entry.get_by_label("Ids")).to_have_value('["1", 2]')


async def test_rejected_with_a_reason(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(ORDER)
    entry = await _opened(tab, asked)
    await entry.locator("details.reject summary").click()
    await entry.get_by_label("Reason").fill("too dear")
    await entry.get_by_role("button", name="Reject", exact=True).click()

    await expect(tab.locator("main > .notice")).to_contain_text("too dear")
    assert desk.row(asked)["decision"] == {"type": "reject", "message": "too dear"}


async def test_answered_in_the_tools_place(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(ORDER)
    entry = await _opened(tab, asked)
    await entry.locator("details.respond summary").click()
    await entry.get_by_role("button", name="Send the answer").click()
    assert desk.row(asked)["status"] == "pending"  # the browser wants an answer first
    await entry.get_by_label("Answer").fill("we have lamps\nin the cellar")
    await entry.get_by_role("button", name="Send the answer").click()

    await expect(tab.locator("main > .notice")).to_contain_text("Answered instead")
    assert desk.row(asked)["decision"] == {"type": "respond", "message": "we have lamps\nin the cellar"}


async def test_cancelled_with_its_run(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(MAIL)
    entry = await _opened(tab, asked)
    await entry.locator("details.cancel summary").click()
    await entry.get_by_role("button", name="Cancel the run").click()

    await expect(tab.locator("main > .notice")).to_contain_text("Cancelled")
    assert desk.row(asked)["status"] == "cancelled"


async def test_a_critical_call_is_reported_done_and_can_not_be_approved(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(DELETE)
    entry = await _opened(tab, asked)
    names = await entry.locator(".choices > * > summary, .choices > form > button").all_inner_texts()
    assert names == ["Done", "Reject", "Cancel the run"]
    await entry.locator("details.done summary").click()
    await entry.get_by_label("What was done").fill("deleted by hand")
    await entry.get_by_role("button", name="Report it done").click()

    await expect(tab.locator("main > .notice")).to_contain_text("Done")
    assert desk.row(asked)["decision"] == {"type": "done", "message": "deleted by hand"}


@pytest.mark.parametrize(
    ("choice", "button", "status"),
    [
        ("done", "Report that it happened", "done"),
        ("retry", "Run it again", "retried"),
        ("abandon", "Give it up", "abandoned"),
    ],
)
async def test_an_effect_in_doubt_is_settled(desk: Desk, tab: Page, choice: str, button: str, status: str) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    desk.execute("UPDATE approvals SET effect_key = id, effect_holder = 'h' WHERE id = %s", (asked,))
    desk.execute(DOUBT, (asked, desk.row(asked)["thread_id"]))
    entry = await _opened(tab, asked)
    await expect(entry.locator(".summary .tier")).to_have_text("high, in doubt")
    await entry.locator(f"details.{choice} summary").click()
    await entry.get_by_role("button", name=button).click()

    await expect(tab.locator("main > .notice")).to_contain_text("it was in doubt")
    assert desk.row(asked)["status"] == status


async def test_what_stays_in_doubt_when_its_run_was_stopped_can_still_be_settled(desk: Desk, tab: Page) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    desk.execute("UPDATE approvals SET effect_key = id, effect_holder = 'h' WHERE id = %s", (asked,))
    desk.execute(DOUBT, (asked, desk.row(asked)["thread_id"]))
    await desk.decide(asked, type="cancel")

    await tab.goto(f"/inbox/{asked}")
    await tab.locator("details.done summary").click()
    await tab.get_by_label("What was done").fill("it is in their system")
    await tab.get_by_role("button", name="Report that it happened").click()

    await tab.wait_for_url("**/inbox?decided=*")
    assert desk.row(asked)["status"] == "done"


async def test_whoever_loses_a_race_is_told_who_won_and_keeps_what_was_typed(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(ORDER)

    async def cut(route: Route) -> None:
        await route.abort()

    await tab.route("**/inbox/events", cut)  # this tab is told of nothing
    entry = await _opened(tab, asked)
    await entry.locator("details.reject summary").click()
    await entry.get_by_label("Reason").fill("a reason that took long to write")
    await desk.decide(asked, type="approve")
    await entry.get_by_role("button", name="Reject", exact=True).click()

    notice = entry.locator(".notice.late")
    await expect(notice).to_contain_text("Already decided: Approved: Order 2 x Desk lamp")
    await expect(notice).to_contain_text("by ")
    await expect(entry.get_by_label("Reason")).to_have_value("a reason that took long to write")
    await expect(entry.get_by_role("button", name="Reject", exact=True)).to_be_disabled()
    assert desk.row(asked)["status"] == "approved"


async def test_it_works_without_its_script(desk: Desk, browser: Chromium) -> None:
    tab = await browser.tab(base_url=desk.server.url, java_script_enabled=False)
    [asked] = await desk.asked(ORDER)
    await tab.goto("/inbox")
    await tab.locator(f'[data-id="{asked}"] .summary').click()
    await tab.locator("details.edit summary").click()
    await tab.get_by_label("Quantity").fill("no")
    await tab.get_by_role("button", name="Approve as edited").click()
    await expect(tab.get_by_label("Quantity")).to_have_value("no")
    await tab.get_by_label("Quantity").fill("1")
    await tab.get_by_role("button", name="Approve as edited").click()

    await expect(tab.locator("main > .notice")).to_contain_text("Approved as edited")
    assert desk.row(asked)["decision"]["args"]["quantity"] == 1


async def test_nothing_scrolls_sideways_on_a_phone(desk: Desk, browser: Chromium) -> None:
    tab = await browser.tab(base_url=desk.server.url, **PHONE)
    await desk.asked(MAIL)
    long = desk.insert("note", {"x" * 80: "y" * 3_000, "nested": {"z" * 200: ["w" * 400]}}, reason="r" * 300)
    entry = await _opened(tab, long)
    await entry.locator("details.edit > summary").click()
    for address in (None, f"/inbox/{long}", "/inbox/runs", "/inbox/login"):
        if address:
            await tab.goto(address)
        width = await tab.evaluate("document.documentElement.scrollWidth")
        assert width == 360, address
    await tab.goto("/inbox/runs")
    await tab.locator("td a").first.click()
    await expect(tab.locator(".timeline")).to_be_visible()
    assert await tab.evaluate("document.documentElement.scrollWidth") == 360


async def test_a_text_of_a_megabyte_is_refused_and_stays_in_the_form(desk: Desk, tab: Page) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    entry = await _opened(tab, asked)
    await entry.locator("details.edit summary").click()
    await entry.get_by_label("Item").fill("x" * 1_000_000)
    await entry.get_by_role("button", name="Approve as edited").click()

    await expect(entry.locator(".problem")).to_contain_text("at most 512 KB")
    assert len(await entry.get_by_label("Item").input_value()) == 1_000_000
    assert desk.row(asked)["status"] == "pending"
