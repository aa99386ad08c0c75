"""The page by keys alone: each goes somewhere, none decides."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from tests.acceptance.conftest import ORDER
from tests.acceptance.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's


async def _opened(tab: Page, approval_id: str) -> Locator:
    await tab.goto("/inbox")
    entry = tab.locator(f'[data-id="{approval_id}"].entry')
    await entry.locator(".summary").click()
    await expect(entry.locator(".item")).to_be_visible()
    return entry


async def test_keys_alone_are_enough_and_no_single_one_decides(desk: Desk, tab: Page) -> None:
    first, second = (desk.insert("place_order", ORDER["args"], ago=ago) for ago in (20, 10))
    await tab.goto("/inbox")
    await tab.keyboard.press("j")
    await expect(tab.locator(f'[data-id="{first}"] .summary')).to_be_focused()
    await tab.keyboard.press("j")
    await tab.keyboard.press("k")
    await tab.keyboard.press("j")
    focused = tab.locator(f'[data-id="{second}"] .summary')
    await expect(focused).to_be_focused()

    for key, there in (("e", "Item"), ("r", "Reason")):
        await tab.keyboard.press(key)
        await expect(tab.get_by_label(there)).to_be_focused()
        await tab.keyboard.press("Escape")
        await tab.keyboard.press("Escape")
        await expect(focused).to_be_focused()
    await tab.keyboard.press("c")
    await expect(tab.get_by_role("button", name="Cancel the run")).to_be_focused()
    await tab.keyboard.press("?")
    await expect(tab.get_by_role("dialog", name="Keys")).to_be_visible()
    await tab.keyboard.press("a")
    await tab.keyboard.press("Escape")
    await expect(tab.get_by_role("dialog")).to_have_count(0)
    assert {desk.row(one)["status"] for one in (first, second)} == {"pending"}

    await tab.keyboard.press("a")
    await expect(tab.get_by_role("button", name="Approve", exact=True)).to_be_focused()
    assert desk.row(second)["status"] == "pending"
    await tab.keyboard.press("Enter")

    await expect(tab.locator(f'[data-id="{second}"]')).to_have_count(0)
    await expect(tab.locator(f'[data-id="{first}"] .summary')).to_be_focused()
    assert desk.row(second)["status"] == "approved"


async def test_enter_in_a_line_of_an_edit_decides_nothing_yet(desk: Desk, tab: Page) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    await tab.goto("/inbox")
    await tab.keyboard.press("e")
    await expect(tab.get_by_label("Item")).to_be_focused()
    await tab.keyboard.press("Enter")

    await expect(tab.get_by_role("button", name="Approve as edited")).to_be_focused()
    assert desk.row(asked)["status"] == "pending"


async def test_a_key_of_a_word_that_is_typed_goes_nowhere(desk: Desk, tab: Page) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    entry = await _opened(tab, asked)
    await tab.keyboard.press("r")
    await tab.keyboard.type("a jerk? can't")

    await expect(entry.get_by_label("Reason")).to_have_value("a jerk? can't")
    await expect(tab.get_by_role("dialog")).to_have_count(0)
