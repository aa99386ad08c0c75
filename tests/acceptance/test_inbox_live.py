"""The page follows what happens elsewhere, without a reload and without touching what somebody types."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, Request, expect

from tests.acceptance.conftest import MAIL, ORDER
from tests.acceptance.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

PAY = {"payee": "ACME", "iban": "DE89370400440532013000", "amount": 10.5, "reference": "R-1"}


async def _watched(tab: Page) -> None:
    """The inbox, once it is told of changes, with a mark that a reload would take away."""
    await tab.goto("/inbox")
    await expect(tab.locator("#live")).to_be_visible()
    await tab.evaluate("globalThis.sameDocument = true")


async def test_what_is_decided_elsewhere_leaves_and_what_is_asked_appears(desk: Desk, tab: Page) -> None:
    [first] = await desk.asked(ORDER)
    await _watched(tab)
    await expect(tab.locator(".count")).to_have_text("One call waits for a decision.")

    [second] = await desk.asked(MAIL)
    await expect(tab.locator(f'[data-id="{second}"]')).to_be_visible()
    await expect(tab.locator("#said")).to_contain_text("New: Mail to ann@example.com: Hi")
    await expect(tab).to_have_title("Inbox (2) · Ballast")
    await desk.decide(first, type="reject")

    await expect(tab.locator(f'[data-id="{first}"]')).to_have_count(0)
    await expect(tab.locator(".count")).to_have_text("One call waits for a decision.")
    assert await tab.evaluate("globalThis.sameDocument")


async def test_a_countdown_counts_and_its_call_leaves_when_it_goes_out(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(MAIL, approval_seconds=6)
    await _watched(tab)
    countdown = tab.locator(f'[data-id="{asked}"] .countdown')
    seen: list[str] = []
    for second in (5, 4, 3, 2):
        await expect(countdown).to_have_text(f"goes out in 0:0{second}")
        seen.append(await countdown.inner_text())

    await expect(tab.locator(f'[data-id="{asked}"]')).to_have_count(0, timeout=10_000)

    row = desk.row(asked)
    assert (row["status"], row["decided_by"]) == ("approved", "timer")
    assert row["decided_at"] >= row["deadline"]
    assert await tab.evaluate("globalThis.sameDocument")


async def test_what_somebody_types_survives_changes_around_it(desk: Desk, tab: Page) -> None:
    before, mine, after = (desk.insert("pay_invoice", PAY, ago=ago) for ago in (30, 20, 10))
    await _watched(tab)
    await tab.locator(f'[data-id="{mine}"] .summary').click()
    await tab.locator("details.reject summary").click()
    reason = tab.get_by_label("Reason")
    await reason.press_sequentially("the invoice is ")
    for one in (before, after):
        await desk.decide(one, type="reject")
    new = desk.insert("pay_invoice", PAY)
    for gone in (before, after):
        await expect(tab.locator(f'[data-id="{gone}"]')).to_have_count(0)
    await expect(tab.locator(f'[data-id="{new}"]')).to_be_visible()
    await expect(reason).to_be_focused()

    await tab.keyboard.type("a copy")

    await expect(reason).to_have_value("the invoice is a copy")


async def test_what_is_decided_under_somebodys_hands_stays_with_who_decided_it(desk: Desk, tab: Page) -> None:
    [mine] = await desk.asked(ORDER)
    await _watched(tab)
    await tab.locator(f'[data-id="{mine}"] .summary').click()
    await tab.locator("details.reject summary").click()
    await tab.get_by_label("Reason").fill("half a thought")
    await desk.decide(mine, type="approve")

    entry = tab.locator(f'[data-id="{mine}"].entry')
    await expect(entry.locator(".notice")).to_contain_text("Already decided: Approved")
    await expect(entry.get_by_label("Reason")).to_have_value("half a thought")
    await expect(entry.get_by_role("button", name="Reject", exact=True)).to_be_disabled()
    await entry.get_by_role("button", name="Close").click()

    await expect(entry).to_have_count(0)


async def test_an_approvals_own_page_is_told_too(desk: Desk, tab: Page) -> None:
    [mine] = await desk.asked(ORDER)
    async with tab.expect_response("**/inbox/events"):
        await tab.goto(f"/inbox/{mine}")
    await desk.decide(mine, type="reject", message="no")

    await expect(tab.locator(".notice")).to_contain_text("Already decided: Rejected")
    await expect(tab.get_by_role("button", name="Approve", exact=True)).to_have_count(0)


async def test_after_a_restart_of_the_server_the_page_shows_how_things_stand(desk: Desk, tab: Page) -> None:
    first, second = (desk.insert("pay_invoice", PAY, ago=ago) for ago in (20, 10))
    await _watched(tab)
    desk.server.kill()
    try:
        await expect(tab.locator("#live")).to_be_hidden()
        desk.execute(
            "UPDATE approvals SET status = 'rejected', decided_at = now(), decided_by = 'bob' WHERE id = %s", (first,)
        )
    finally:  # others use this server too
        desk.server.start(port=desk.server.port)

    await expect(tab.locator(f'[data-id="{first}"]')).to_have_count(0, timeout=20_000)
    await expect(tab.locator(f'[data-id="{second}"]')).to_be_visible()
    await expect(tab.locator("#live")).to_be_visible(timeout=20_000)


async def test_the_first_page_of_a_thousand_needs_less_than_100_kb(desk: Desk, tab: Page) -> None:
    desk.insert_all("pay_invoice", [{**PAY, "payee": f"Supplier {at} & Sons"} for at in range(1_000)])
    finished: list[Request] = []
    tab.on("requestfinished", lambda request: finished.append(request))  # noqa: PLW0108 - it sets an attribute on it
    await tab.goto("/inbox", wait_until="load")
    await expect(tab.locator(".entry")).to_have_count(50)

    sized = [(request.url, await request.sizes()) for request in finished]
    sizes = {url: size["responseBodySize"] + size["responseHeadersSize"] for url, size in sized}
    assert len(sizes) >= 3
    assert sum(sizes.values()) < 100_000, sizes
