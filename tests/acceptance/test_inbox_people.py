"""Who sees and decides what on the page, with tokens: their own, what their role reaches, and nothing of others'."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from checkpoints.database import open_pool
from checkpoints.tokens import PostgresTokens
from graph.people import Role
from tests.acceptance.browser import Chromium
from tests.acceptance.conftest import MAIL, ORDER, Server, running
from tests.acceptance.desk import Desk, csrf_in, ids_in
from tests.acceptance.other_site import other_site

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

ROLES: dict[str, Role] = {"ann": "user", "eve": "user", "bob": "approver", "root": "admin"}


@pytest.fixture(scope="module")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a policy: who asks for a payment may not let it happen."""
    folder = tmp_path_factory.mktemp("server")
    policy = folder / "policy.yaml"
    policy.write_text("tools: {pay_invoice: {four_eyes: true}}")
    with running(server_url, folder, BALLAST_POLICY=str(policy)) as started:
        yield started


@pytest.fixture
async def tokens(server: Server) -> AsyncIterator[dict[str, str]]:
    async with open_pool(server.database_url, max_size=1) as pool:
        kept = PostgresTokens(pool)
        yield {name: (await kept.create(name, role))[1] for name, role in ROLES.items()}


@pytest.fixture
def desk(server: Server, tmp_path: Path) -> Desk:
    found = Desk(server=server, folder=tmp_path)
    found.clear()
    return found


As = Callable[[str], Desk]


@pytest.fixture
def as_(desk: Desk, tokens: dict[str, str]) -> As:
    """The server as one of them."""
    return lambda name: replace(desk, headers={"Authorization": f"Bearer {tokens[name]}"})


async def _logged_in(browser: Chromium, desk: Desk, token: str) -> Page:
    tab = await browser.tab(base_url=desk.server.url)
    await tab.goto("/inbox")
    await tab.get_by_label("Token").fill(token)
    await tab.get_by_role("button", name="Log in").click()
    await expect(tab.get_by_role("heading", name="Inbox")).to_be_visible()
    return tab


async def test_one_logs_in_with_a_token_goes_on_where_one_wanted_and_logs_out(
    desk: Desk, tokens: dict[str, str], browser: Chromium
) -> None:
    tab = await browser.tab(base_url=desk.server.url)
    await tab.goto("/inbox/runs")
    assert tab.url.endswith("/inbox/login?next=%2Finbox%2Fruns")
    for wrong in ("bal_wrong", "no token at all", tokens["ann"] + "x"):
        await tab.get_by_label("Token").fill(wrong)
        await tab.get_by_role("button", name="Log in").click()
        await expect(tab.get_by_role("alert")).to_be_visible()

    await tab.get_by_label("Token").fill(tokens["ann"])
    await tab.get_by_role("button", name="Log in").click()

    await expect(tab.get_by_role("heading", name="Runs")).to_be_visible()
    await expect(tab.locator(".who")).to_contain_text("ann · user")
    kept = {cookie["name"]: cookie for cookie in await tab.context.cookies()}
    assert kept["ballast_token"]["httpOnly"]
    assert kept["ballast_token"]["sameSite"] == "Strict"
    assert tokens["ann"] not in await tab.content()
    await tab.get_by_role("button", name="Log out").click()
    await tab.goto("/inbox")
    await expect(tab.get_by_label("Token")).to_be_visible()


async def test_behind_https_the_cookies_belong_to_this_host_alone(desk: Desk, tokens: dict[str, str]) -> None:
    async with desk.http() as http:
        proxied = {"x-forwarded-proto": "https"}
        page = await http.get("/inbox/login", headers=proxied)
        csrf = page.cookies["__Host-ballast_csrf"]
        cookie = {"cookie": f"__Host-ballast_csrf={csrf}", **proxied}
        form = {"csrf": csrf_in(page.text), "token": tokens["ann"], "next": "https://evil.example/"}
        answer = await http.post("/inbox/login", data=form, headers=cookie)

    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
    [kept] = [one for one in answer.headers.get_list("set-cookie") if one.startswith("__Host-ballast_token=")]
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=strict"} <= {part.strip() for part in kept.split(";")}


async def test_everyone_sees_their_own_deciders_what_they_may_decide_and_nobody_else_anything(as_: As) -> None:
    [asked] = await as_("ann").asked(ORDER)
    row = as_("ann").row(asked)
    assert row["requester"] == "ann"
    thread = row["thread_id"]

    for name, sees, follows in (("ann", True, True), ("bob", True, False), ("root", True, True), ("eve", False, False)):
        async with as_(name).http() as http:
            listed = ids_in((await http.get("/inbox")).text)
            found = [one["id"] for one in (await http.get("/approvals")).json()["approvals"]]
            assert (asked in listed, asked in found) == (sees, sees), name
            for address in (f"/inbox/{asked}", f"/approvals/{asked}"):
                assert (await http.get(address)).status_code == (200 if sees else 404), (name, address)
            assert (await http.get(f"/inbox/runs/{thread}")).status_code == (200 if follows else 404), name
            assert (thread in (await http.get("/inbox/runs")).text) == follows, name


async def test_a_role_too_low_is_told_so_and_decides_nothing(as_: As) -> None:
    [asked] = await as_("ann").asked(ORDER)

    own, foreign = await as_("ann").decide(asked, type="approve"), await as_("eve").decide(asked, type="reject")
    unknown = await as_("eve").decide("ap-none", type="reject")

    assert (own.status_code, foreign.status_code) == (403, 404)
    assert "decided by approver or admin" in own.json()["detail"]
    assert foreign.json()["detail"].replace(asked, "ap-none") == unknown.json()["detail"]
    assert as_("ann").row(asked)["status"] == "pending"
    assert (await as_("ann").decide(asked, type="reject")).status_code == 200
    assert as_("ann").row(asked)["decided_by"] == "ann"


async def test_the_page_offers_what_one_may_decide_and_says_why_not_the_rest(
    as_: As, tokens: dict[str, str], browser: Chromium
) -> None:
    [asked] = await as_("ann").asked(ORDER)
    tab = await _logged_in(browser, as_("ann"), tokens["ann"])
    await tab.goto(f"/inbox/{asked}")

    names = await tab.locator(".choices > * > summary, .choices > form > button").all_inner_texts()
    assert names == ["Reject", "Cancel the run"]
    await expect(tab.locator(".refused")).to_contain_text("approver or admin")

    async with as_("ann").http() as http:
        csrf = csrf_in((await http.get("/inbox/login")).text)
        forced = await http.post(f"/inbox/{asked}", data={"csrf": csrf, "type": "approve"})
    assert forced.status_code == 403
    assert "approver or admin" in forced.text
    assert as_("ann").row(asked)["status"] == "pending"


async def test_what_needs_four_eyes_is_let_happen_by_another_than_who_asked(
    as_: As, tokens: dict[str, str], browser: Chromium
) -> None:
    pay = {"payee": "ACME", "iban": "DE89370400440532013000", "amount": 10.5, "reference": "R-1"}
    [asked] = await as_("root").asked({"name": "pay_invoice", "args": pay})
    tab = await _logged_in(browser, as_("root"), tokens["root"])
    await tab.goto(f"/inbox/{asked}")
    await expect(tab.locator(".refused")).to_contain_text("four eyes")
    assert (await as_("root").decide(asked, type="approve")).status_code == 403
    assert as_("root").row(asked)["status"] == "pending"

    assert (await as_("bob").decide(asked, type="approve")).status_code == 200


async def test_two_people_see_each_others_decisions(as_: As, tokens: dict[str, str], browser: Chromium) -> None:
    [asked] = await as_("ann").asked(ORDER)
    bob, root = [await _logged_in(browser, as_(name), tokens[name]) for name in ("bob", "root")]
    for tab in (bob, root):
        await expect(tab.locator("#live")).to_be_visible()
    await bob.locator(f'[data-id="{asked}"] .summary').click()
    await bob.get_by_role("button", name="Approve", exact=True).click()

    await expect(root.locator(f'[data-id="{asked}"]')).to_have_count(0)
    assert as_("ann").row(asked)["decided_by"] == "bob"


async def test_a_login_that_expires_under_ones_hands_costs_no_word(
    as_: As, tokens: dict[str, str], browser: Chromium
) -> None:
    [asked] = await as_("ann").asked(MAIL)
    tab = await _logged_in(browser, as_("ann"), tokens["ann"])
    await tab.locator(f'[data-id="{asked}"] .summary').click()
    await tab.locator("details.reject summary").click()
    await tab.get_by_label("Reason").fill("it took me long to write this")
    as_("ann").execute("UPDATE tokens SET expires_at = now() WHERE name = 'ann'")

    await tab.get_by_role("button", name="Reject", exact=True).click()

    await expect(tab.locator(".item .problem")).to_contain_text("Your login has expired")
    assert as_("ann").row(asked)["status"] == "pending"
    as_("ann").execute("UPDATE tokens SET expires_at = now() + interval '1 day' WHERE name = 'ann'")
    await tab.get_by_role("button", name="Reject", exact=True).click()
    await expect(tab.locator("main > .notice")).to_contain_text("it took me long to write this")


async def test_a_revoked_token_leads_to_the_login_from_any_page(
    as_: As, tokens: dict[str, str], browser: Chromium
) -> None:
    tab = await _logged_in(browser, as_("ann"), tokens["ann"])
    as_("ann").execute("UPDATE tokens SET revoked_at = now() WHERE name = 'ann'")
    await tab.goto("/inbox/runs")

    await expect(tab.get_by_label("Token")).to_be_visible()
    part = await tab.evaluate("fetch('/inbox', {headers: {'X-Part': 'list'}}).then((r) => r.status)")
    assert part == 401


async def test_the_pages_cookie_is_no_token_for_programs(desk: Desk, tokens: dict[str, str]) -> None:
    cookie = {"cookie": f"ballast_token={tokens['root']}"}
    asked = desk.insert("place_order", ORDER["args"])
    async with desk.http() as http:
        assert (await http.get("/inbox", headers=cookie)).status_code == 200
        assert (await http.get("/approvals", headers=cookie)).status_code == 401
        answer = await http.post(f"/approvals/{asked}", json={"type": "approve"}, headers=cookie)

    assert answer.status_code == 401
    assert desk.row(asked)["status"] == "pending"


async def test_a_link_in_a_mail_page_leads_to_the_approval_although_the_cookie_is_kept_back(
    as_: As, tokens: dict[str, str], browser: Chromium
) -> None:
    [asked] = await as_("ann").asked(ORDER)
    tab = await _logged_in(browser, as_("ann"), tokens["bob"])
    with other_site(f'<a href="{as_("ann").server.url}/inbox/{asked}">decide</a>') as mail:
        await tab.goto(mail)
        await tab.get_by_role("link", name="decide").click()

        await expect(tab.get_by_role("heading", name="Order 2 x Desk lamp")).to_be_visible()
