"""The raw text behind a result, and where an approval's values stand in it: shown to whoever may see the run."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect
from psycopg.types.json import Json

from app.pages.result import PAGE_CHARS
from checkpoints.audit import PostgresAudit
from checkpoints.database import open_pool
from checkpoints.results import PostgresResults
from checkpoints.serde import serializer
from checkpoints.tokens import PostgresTokens
from graph.people import Role
from graph.results import Whole
from tests.acceptance.browser import Chromium
from tests.acceptance.conftest import ROOT, Server, running
from tests.acceptance.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

IBAN = "DE89 3704 0044 0532 0130 00"
EVIL = (
    "</pre></main><script>alert(1)</script><img src=x onerror=alert(2)><style>*{display:none}</style>"
    "<form action=//evil.example><button>Approve</button></form>{{ 7*7 }} &lt;b&gt; "
    "\u202egnp.exe\u202c \u200bzero\x1b[2J\x00 \U000e0041end"
)
FILLING = "Nothing of note happened in this part of the long letter. " * 2_000
LETTER = f"Please pay 950 to\n{IBAN}.\n{EVIL}\n{FILLING}"
ROLES: dict[str, Role] = {"ann": "user", "eve": "user", "bob": "approver", "root": "admin"}
READ = {"name": "read_mail", "args": {"id": "900-letter"}}
PAY: dict[str, Any] = {
    "name": "pay_invoice",
    "args": {"payee": "Northline", "iban": IBAN, "amount": 950.0, "reference": "R-1"},
}


@pytest.fixture(scope="module")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a stranger's long letter in the mailbox."""
    folder = tmp_path_factory.mktemp("server")
    office = shutil.copytree(ROOT / "examples/office", folder / "office", ignore=shutil.ignore_patterns("outbox"))
    head = "From: accounts@northline.example\nSubject: Overdue\nContent-Type: text/plain; charset=utf-8\n\n"
    (office / "mailbox/900-letter.eml").write_text(head + LETTER)
    with running(server_url, folder, BALLAST_WORKSPACE=str(office)) as started:
        yield started


@pytest.fixture
async def tokens(server: Server) -> AsyncIterator[dict[str, str]]:
    async with open_pool(server.database_url, max_size=1) as pool:
        kept = PostgresTokens(pool)
        yield {name: (await kept.create(name, role))[1] for name, role in ROLES.items()}


As = Callable[[str], Desk]


@pytest.fixture
def as_(desk: Desk, tokens: dict[str, str]) -> As:
    """The server as one of them."""
    return lambda name: replace(desk, headers={"Authorization": f"Bearer {tokens[name]}"})


@pytest.fixture
async def asked(as_: As) -> str:
    """A payment of ann's run, to an account that stands in the letter."""
    return await _asked(as_("ann"))


async def _asked(desk: Desk) -> str:
    return (await desk.asked_in_turn([READ], [PAY]))[0]


async def _kept(server: Server, thread: str, text: str) -> str:
    """The handle of a text that this thread keeps."""
    whole = Whole(tool="get_page", text=text)
    async with open_pool(server.database_url, max_size=1) as pool:
        await PostgresResults(pool, serializer(None)).keep(thread, [whole], claim=None)
    return whole.handle


async def _logged_in(browser: Chromium, desk: Desk) -> Page:
    tab = await browser.tab(base_url=desk.server.url, extra_http_headers=desk.headers)
    await tab.goto("/inbox")
    return tab


async def test_beside_the_reason_stands_the_source_with_the_value_marked(
    as_: As, asked: str, browser: Chromium
) -> None:
    tab = await _logged_in(browser, as_("ann"))
    await tab.goto(f"/inbox/{asked}")

    place = tab.locator(".excerpts li", has_text="IBAN in read_mail")
    await expect(tab.locator(".stakes")).to_contain_text("it stands in read_mail(id='900-letter') (from outside)")
    await expect(place.locator("mark")).to_have_text(IBAN)
    await expect(place).to_contain_text("Please pay 950 to")
    await expect(place).to_contain_text(r"\u202egnp.exe\u202c \u200bzero\x1b[2J")
    await expect(tab.locator(".excerpts")).not_to_contain_text("Reference in")  # the model's own

    await place.get_by_role("link", name="its raw text").click()

    await expect(tab.get_by_role("heading", level=1)).to_have_text("Raw text of read_mail")
    assert await tab.locator(".raw-text mark").all_inner_texts() == ["northline", "950", IBAN]
    await tab.get_by_role("link", name="The approval").click()
    await expect(tab).to_have_url(f"{as_('ann').server.url}/inbox/{asked}")


async def test_a_raw_text_is_text_whatever_is_in_it(as_: As, asked: str, browser: Chromium) -> None:
    desk = as_("ann")
    thread = desk.row(asked)["thread_id"]
    handle = await _kept(desk.server, thread, f"\nfirst line\r\n{EVIL}")
    tab = await _logged_in(browser, desk)
    await tab.goto(f"/inbox/runs/{thread}")
    await expect(tab.locator(".raw-texts li")).to_have_count(2)
    await tab.locator(".raw-texts").get_by_role("link", name=handle).click()

    raw = tab.locator(".raw-text")
    shown = await raw.inner_text()
    assert shown.startswith("\nfirst line\n</pre></main><script>alert(1)</script><img")
    assert r"\u202egnp.exe\u202c \u200bzero\x1b[2J\0 \U000e0041end" in shown
    spelt = await raw.locator(".spelt").all_inner_texts()
    assert spelt == [r"\u202e", r"\u202c", r"\u200b", r"\x1b", r"\U000e0041"]
    await expect(tab.locator(".count")).to_contain_text("5 that would not show are spelt out")
    await expect(raw.locator("*:not(b)")).to_have_count(0)
    await expect(tab.locator("main script, main img, main style, main form")).to_have_count(0)
    content = await tab.content()
    assert not set("\u202e\u202c\u200b\x1b\U000e0041") & set(content)


async def test_a_result_of_a_step_leads_to_its_raw_text(as_: As, asked: str, browser: Chromium) -> None:
    tab = await _logged_in(browser, as_("ann"))
    await tab.goto(f"/inbox/runs/{as_('ann').row(asked)['thread_id']}")

    await tab.locator(".did-result").get_by_role("link", name="its raw text").click()

    await expect(tab.locator(".raw-text")).to_contain_text("Please pay 950 to")
    await expect(tab.locator(".raw-text mark")).to_have_count(0)


async def test_a_text_of_millions_of_characters_is_read_in_parts(as_: As, asked: str, browser: Chromium) -> None:
    desk = as_("ann")
    thread = desk.row(asked)["thread_id"]
    line = "x\u202e" * 49 + "x\n"
    text = line * 3_000 + f"to {IBAN} it goes\n" + line * 45_000 + "the very end"
    handle = await _kept(desk.server, thread, text)
    tab = await _logged_in(browser, desk)
    pages = -(-len(text) // PAGE_CHARS)

    await tab.goto(f"/inbox/results/{handle}/{thread}?for={asked}")
    await expect(tab.locator(".raw-text mark")).to_have_text(IBAN)
    at = text.index(IBAN) // PAGE_CHARS + 1
    await expect(tab.locator(".pager").first).to_contain_text(f"{at} of {pages}")
    await expect(tab.locator(".count")).to_contain_text("only its first 1,000,000 characters were searched")
    await tab.get_by_role("link", name="Later part").first.click()
    await expect(tab.locator(".pager").first).to_contain_text(f"{at + 1} of {pages}")

    async with desk.http() as http:
        address = f"/inbox/results/{handle}/{thread}"
        last = (await http.get(f"{address}?page={pages}")).text
        sizes = {len((await http.get(f"{address}?page={page}")).content) for page in ("1", "2", "", "x", "-1", "0")}
    assert "the very end" in last
    assert "Later part" not in last
    assert max(sizes) < 1_000_000


async def test_what_no_argument_has_is_said_and_the_next_mark_is_one_click_away(
    as_: As, asked: str, browser: Chromium
) -> None:
    desk = as_("ann")
    thread = desk.row(asked)["thread_id"]
    without = await _kept(desk.server, thread, "nothing of it")
    twice = await _kept(desk.server, thread, f"{IBAN}\n{'-' * 3 * PAGE_CHARS}\n{IBAN}")
    tab = await _logged_in(browser, desk)

    await tab.goto(f"/inbox/results/{without}/{thread}?for={asked}")
    await expect(tab.locator(".count")).to_contain_text("None of the approval's values stands in it")
    await tab.goto(f"/inbox/results/{twice}/{thread}?for={asked}")
    await expect(tab.locator(".count")).to_contain_text("2 places")
    await tab.get_by_role("link", name="Next marked").first.click()

    await expect(tab.locator(".raw-text mark")).to_have_text(IBAN)
    await expect(tab.locator(".pager").first).to_contain_text("4 of 4")


async def test_only_who_may_see_the_run_may_read_what_it_read(as_: As, asked: str) -> None:
    thread = as_("ann").row(asked)["thread_id"]
    handle = await _kept(as_("ann").server, thread, "for ann")
    address = f"/inbox/results/{handle}/{thread}"

    for name, reads in (("ann", True), ("root", True), ("bob", False), ("eve", False)):
        answer = await _got(as_(name), address)
        assert (answer.status_code, "for ann" in answer.text) == ((200, True) if reads else (404, False)), name
    async with open_pool(as_("ann").server.database_url, max_size=1) as pool:
        read = [one.actor for one in await PostgresAudit(pool).list(thread_id=thread) if one.action == "open"]
    assert read == ["root", "ann"]
    seen = await _got(as_("bob"), f"/inbox/{asked}")  # who decides sees the reason, and not the run
    assert (seen.status_code, 'class="excerpts"' in seen.text) == (200, False)
    async with httpx.AsyncClient(base_url=as_("ann").server.url) as nobody:
        assert (await nobody.get(address)).status_code == 303
    headers = (await _got(as_("ann"), address)).headers
    assert headers["content-type"].startswith("text/html")
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]


async def test_a_handle_or_an_approval_of_another_run_is_not_found(as_: As, asked: str) -> None:
    ann, eve = as_("ann"), as_("eve")
    others = await _asked(eve)
    mine, theirs = ann.row(asked)["thread_id"], eve.row(others)["thread_id"]
    handle, secret = await _kept(ann.server, mine, "mine"), await _kept(eve.server, theirs, "hers")

    for address in (
        f"/inbox/results/{secret}/{mine}",
        f"/inbox/results/{secret}/{theirs}",
        f"/inbox/results/r-none/{mine}",
        f"/inbox/results/%00%1b/{mine}",
        f"/inbox/results/{handle}/%00",
        f"/inbox/results/{handle}/nowhere",
        f"/inbox/results/{handle}/{mine}?for={others}",
        f"/inbox/results/{handle}/{mine}?for=ap-none",
    ):
        assert (await _got(ann, address)).status_code == 404, address
    root = await _got(as_("root"), f"/inbox/results/{handle}/{mine}?for={others}")
    assert root.status_code == 404


async def test_what_was_decided_or_has_no_thread_any_more_shows_no_sources(as_: As, asked: str) -> None:
    origins: dict[str, Any] = {"iban": ["read_mail(id='900-letter') (from outside)"]}
    row = as_("root").insert("pay_invoice", PAY["args"], requester="root")
    as_("root").execute("UPDATE approvals SET origins = %s WHERE id = %s", (Json(origins), row))

    assert 'class="excerpts"' not in (await _got(as_("root"), f"/inbox/{row}")).text
    await as_("ann").decide(asked, type="reject")
    assert 'class="excerpts"' not in (await _got(as_("ann"), f"/inbox/{asked}")).text


async def _got(desk: Desk, address: str) -> httpx.Response:
    async with desk.http() as http:
        return await http.get(address)
