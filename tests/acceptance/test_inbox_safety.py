"""Arguments written by a stranger, on a page: shown, never run, never mistaken for something else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.acceptance.browser import Chromium
from tests.acceptance.conftest import ORDER
from tests.acceptance.desk import Desk
from tests.acceptance.other_site import other_site

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

EVIL = (
    "</textarea></script><script>alert(1)</script><img src=x onerror=alert(2)>"
    "<svg onload=alert(3)><style>*{display:none}</style><a href='javascript:alert(4)'>click</a>"
    "<form action=//evil.example><button>Approve</button></form>{{ 7*7 }}{% raw %}&lt;b&gt; "
    "http://evil.example/\"'` \u202egnp.exe\u202c \u200bzero\x1b[2J\x00end"
)
SPELT = r"\u202e"


@pytest_asyncio.fixture(loop_scope="session")
async def tab(browser: Chromium, desk: Desk) -> AsyncIterator[Page]:
    opened = await browser.tab(base_url=desk.server.url)
    outside: list[str] = []
    opened.on("request", lambda request: outside.append(request.url))
    yield opened
    assert {url for url in outside if not url.startswith(desk.server.url)} == set()


@pytest.mark.parametrize(
    ("tool", "args"),
    [
        ("send_email", {"to": EVIL, "subject": EVIL, "body": EVIL * 40}),
        ("pay_invoice", {"payee": EVIL, "iban": EVIL, "amount": 1e21, "reference": EVIL}),
        ("place_order", {"item": EVIL, "quantity": 10**30, "unit_price": 0.001}),
        ("send_bulk_email", {"to": [EVIL, EVIL], "subject": EVIL, "body": EVIL, "bcc": EVIL}),
        (f"tool{EVIL[:100]}", {EVIL[:100]: EVIL, "list": [EVIL], "deep": {"a": {EVIL: [None, True, 1.5]}}}),
        ("send_email", {"to": ["a"], "subject": 1, "body": None}),
        ("pay_invoice", {"amount": True}),
        ("nothing", {}),
    ],
)
async def test_injected_markup_is_text_and_nothing_of_it_runs(
    desk: Desk, tab: Page, tool: str, args: dict[str, Any]
) -> None:
    asked = desk.insert(tool.replace("\x00", ""), args, reason=EVIL.replace("\x00", ""), requester="<i>ann</i>")
    await tab.goto("/inbox")
    await expect(tab.locator(".entry")).to_have_count(1)
    await tab.locator(".summary").click()
    item = tab.locator(".item")
    await expect(item).to_be_visible()
    for details in await item.locator("details > summary").all():
        await details.click()
    await tab.goto(f"/inbox/{asked}")
    for locator in await tab.locator("details > summary").all():
        await locator.click()

    await expect(tab.locator("main script, main img, main svg, main style, main i")).to_have_count(0)
    links = await tab.locator("main a").evaluate_all("all => all.map((one) => one.getAttribute('href'))")
    assert all(link.startswith("/inbox") for link in links)
    forms = await tab.locator("form").evaluate_all("all => all.map((one) => one.action)")
    assert all(form.startswith(desk.server.url) for form in forms if "method=dialog" not in form)
    assert desk.row(asked)["status"] == "pending"


async def test_what_hides_or_turns_text_round_is_spelt_out_and_set_apart(desk: Desk, tab: Page) -> None:
    asked = desk.insert("note", {"file": "invoice\u202egpj.exe", "plain": r"invoice\u202egpj.exe"})
    await tab.goto(f"/inbox/{asked}")

    spelt = tab.locator("dd .spelt")
    await expect(spelt).to_have_count(1)
    await expect(spelt).to_have_text(SPELT)
    values = tab.locator("dd bdi")
    assert await values.nth(0).inner_text() == await values.nth(1).inner_text() == r"invoice\u202egpj.exe"
    assert "\u202e" not in await tab.content()


async def test_a_long_value_is_cut_and_shown_whole_when_asked(desk: Desk, tab: Page) -> None:
    text = "\n".join(f"line {at}" for at in range(2_000))
    asked = desk.insert("note", {"text": text})
    await tab.goto(f"/inbox/{asked}")
    last = tab.locator("dd").get_by_text("line 1999")
    await expect(last).to_be_hidden()

    await tab.get_by_text("Show all (").click()

    await expect(last).to_be_visible()


async def test_no_argument_is_left_out(desk: Desk, tab: Page) -> None:
    args = {"to": "a@example.com", "subject": "S", "body": "B", "bcc": "secret@example.com"}
    asked = desk.insert("send_email", args)
    await tab.goto(f"/inbox/{asked}")

    await expect(tab.locator("dl.mail")).to_contain_text("secret@example.com")


async def test_another_sites_page_can_neither_read_nor_decide(desk: Desk, browser: Chromium) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    tab = await browser.tab()
    with other_site() as other:
        await tab.goto(f"{desk.server.url}/inbox/{asked}")  # the browser has its cookies
        await tab.goto(other)
        read = await tab.evaluate(
            "address => fetch(address, {credentials: 'include'}).then((r) => r.text(), () => '')",
            f"{desk.server.url}/inbox/{asked}",
        )
        await tab.evaluate(
            """address => {
                const form = document.createElement("form");
                Object.assign(form, {method: "post", action: address});
                form.innerHTML = '<input name="csrf" value="x"><input name="type" value="approve">';
                document.body.append(form);
                form.submit();
            }""",
            f"{desk.server.url}/inbox/{asked}",
        )
        await expect(tab.locator("body")).to_contain_text("403")

    assert "Desk lamp" not in read
    assert desk.row(asked)["status"] == "pending"


async def test_no_page_is_shown_in_another_sites_frame(desk: Desk, browser: Chromium) -> None:
    tab = await browser.tab()
    with other_site() as other:
        await tab.goto(other)
        async with tab.expect_console_message(lambda message: "frame-ancestors" in message.text):
            await tab.evaluate(
                "address => { const f = document.createElement('iframe'); f.src = address; document.body.append(f); }",
                f"{desk.server.url}/inbox",
            )
    browser.faults.clear()
