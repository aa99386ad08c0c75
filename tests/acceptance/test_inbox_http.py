"""The inbox and its JSON API as HTTP: paging, headers, decisions and what is told of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from httpx import AsyncClient

from tests.acceptance.conftest import MAIL, ORDER
from tests.acceptance.desk import Desk, csrf_in, ids_in

PAY = {"payee": "ACME", "iban": "DE89370400440532013000", "amount": 10.5, "reference": "R-1"}
PAGES = ("/inbox", "/inbox/runs", "/inbox/login", "/inbox/nothing/here", "/inbox/ap-none")


@pytest.fixture
async def http(desk: Desk) -> AsyncIterator[AsyncClient]:
    async with desk.http() as client:
        yield client


async def _form(http: AsyncClient, approval_id: str, **fields: str) -> httpx.Response:
    csrf = csrf_in((await http.get("/inbox/login")).text)
    return await http.post(f"/inbox/{approval_id}", data={"csrf": csrf, **fields})


async def test_a_thousand_pending_are_listed_once_each_the_longest_waiting_first(desk: Desk, http: AsyncClient) -> None:
    asked = desk.insert_all("pay_invoice", [PAY] * 1_000)
    listed: list[str] = []
    address = "/inbox"
    while address:
        page = (await http.get(address)).text
        assert "1,000 calls wait" in page
        listed += ids_in(page)
        after = listed[-1] if 'rel="next"' in page else ""
        address = f"/inbox?after={after}" if after else ""

    assert listed == asked

    found: list[str] = []
    more: Any = {}
    while more is not None:
        answer = (await http.get("/approvals", params={"limit": 200, **more})).json()
        found += [row["id"] for row in answer["approvals"]]
        more = {"before": answer["before"]} if answer["before"] else None
    assert found == asked[::-1]


@pytest.mark.parametrize("address", PAGES)
async def test_every_page_is_sent_with_a_strict_policy_and_is_not_kept(http: AsyncClient, address: str) -> None:
    headers = (await http.get(address)).headers

    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


async def test_the_servers_own_routes_keep_their_headers_and_errors(http: AsyncClient) -> None:
    ok, unknown = await http.get("/ok"), await http.get("/threads/00000000-0000-0000-0000-000000000000")

    assert "content-security-policy" not in ok.headers
    assert unknown.status_code == 404
    assert unknown.json()["detail"]


async def test_static_files_are_kept_by_their_version_only(http: AsyncClient) -> None:
    page = (await http.get("/inbox")).text
    address = page.partition('<script defer src="')[2].partition('"')[0]

    kept, unversioned = await http.get(address), await http.get(address.partition("?")[0])

    assert "immutable" in kept.headers["cache-control"]
    assert unversioned.headers["cache-control"] == "no-store"
    assert (await http.get("/inbox/static/none.js")).status_code == 404


async def test_a_decision_by_form_is_taken_and_said_on_the_list(desk: Desk, http: AsyncClient) -> None:
    [asked] = await desk.asked(ORDER)

    answer = await _form(http, asked, type="approve")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/inbox?decided={asked}")
    assert desk.row(asked)["status"] == "approved"
    page = (await http.get(answer.headers["location"])).text
    assert "<strong>Approved</strong>: Order 2 x Desk lamp for 76.50 USD" in page


async def test_opening_an_approval_is_noted_in_the_audit_log_and_listing_is_not(desk: Desk, http: AsyncClient) -> None:
    asked = desk.insert("pay_invoice", PAY)

    await http.get("/inbox")
    await http.get(f"/inbox/{asked}", headers={"X-Part": "outcome"})
    assert _views(desk, asked) == 0
    await http.get(f"/inbox/{asked}")
    await http.get(f"/approvals/{asked}")

    assert _views(desk, asked) == 2


def _views(desk: Desk, approval_id: str) -> int:
    import psycopg  # noqa: PLC0415 - here only

    with psycopg.connect(desk.server.database_url) as connection:
        query = "SELECT count(*) FROM audit WHERE action = 'view' AND approval_id = %s"
        [(count,)] = connection.execute(query, (approval_id,)).fetchall()
    return int(count)


async def test_an_edit_that_does_not_fit_comes_back_as_it_was_typed_with_what_is_wrong(
    desk: Desk, http: AsyncClient
) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    typed = {"arg.item": "Lamp <b>", "arg.quantity": "two", "arg.unit_price": "38.25"}

    answer = await _form(http, asked, type="edit", **typed)

    assert answer.status_code == 422
    assert 'value="Lamp &lt;b&gt;"' in answer.text
    assert 'value="two"' in answer.text
    assert answer.text.count('aria-invalid="true"') == 1
    assert "valid integer" in answer.text
    assert desk.row(asked)["status"] == "pending"


async def test_an_edit_is_coerced_and_shown_as_edited(desk: Desk, http: AsyncClient) -> None:
    [asked] = await desk.asked(ORDER)

    answer = await _form(http, asked, type="edit", **{"arg.quantity": "3", "arg.item": "Desk lamp"})

    assert answer.status_code == 303
    row = desk.row(asked)
    assert (row["status"], row["decision"]["args"]["quantity"]) == ("edited", 3)
    page = (await http.get(f"/inbox/{asked}")).text
    assert "<del><bdi>2</bdi>" in page
    assert "<ins><bdi>3</bdi>" in page


async def test_an_edit_changes_no_field_that_was_not_touched(desk: Desk, http: AsyncClient) -> None:
    """Forms send CRLF, and show characters that hide as escapes: what was not touched stays to the letter."""
    body = "line one\nline two\r\nthree\u202e \u200b end"
    [asked] = await desk.asked({"name": "send_email", "args": {"to": "a@example.com", "subject": "S", "body": body}})
    shown = "line one\r\nline two\r\nthree\\u202e \\u200b end"

    await _form(http, asked, type="edit", **{"arg.to": "b@example.com", "arg.subject": "S", "arg.body": shown})

    assert desk.row(asked)["decision"]["args"] == {"to": "b@example.com", "subject": "S", "body": body}


async def test_a_lost_race_says_what_was_decided_by_whom_and_when(desk: Desk, http: AsyncClient) -> None:
    [asked] = await desk.asked(ORDER)
    first = await desk.decide(asked, type="reject", message="too dear")
    assert first.status_code == 200

    page, program = await _form(http, asked, type="approve"), await desk.decide(asked, type="approve")

    row = desk.row(asked)
    assert (page.status_code, program.status_code) == (409, 409)
    assert "<strong>Already decided:</strong> <strong>Rejected</strong>" in page.text
    assert "too dear" in page.text
    assert row["decided_at"].isoformat() in page.text
    assert f"rejected by {row['decided_by']} at" in program.json()["detail"]
    assert program.json()["approval"]["decision"] == {"type": "reject", "message": "too dear"}


async def test_the_approval_of_a_deleted_thread_is_decided_already(desk: Desk, http: AsyncClient) -> None:
    [asked] = await desk.asked(ORDER)
    await http.delete(f"/threads/{desk.row(asked)['thread_id']}")

    answer = await desk.decide(asked, type="approve")

    assert answer.status_code == 409
    assert "cancelled by ballast" in answer.json()["detail"]


async def test_behind_a_proxy_that_changes_the_host_a_browsers_own_word_counts(desk: Desk, http: AsyncClient) -> None:
    asked = desk.insert("place_order", ORDER["args"])
    headers = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    csrf = csrf_in((await http.get("/inbox/login")).text)

    answer = await http.post(f"/inbox/{asked}", data={"csrf": csrf, "type": "approve"}, headers=headers)

    assert answer.status_code == 303


async def test_a_list_names_nothing_that_is_not_decided_or_not_there(desk: Desk, http: AsyncClient) -> None:
    asked = desk.insert("place_order", ORDER["args"])

    for name in (asked, "ap-none", "%00"):
        page = await http.get(f"/inbox?decided={name}")
        assert page.status_code == 200
        assert 'class="notice"' not in page.text


async def test_the_folder_of_the_pages_is_the_inbox(http: AsyncClient) -> None:
    assert (await http.get("/inbox/")).headers["location"] == "/inbox"


async def test_a_link_from_another_site_leads_to_the_page(http: AsyncClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}

    assert (await http.get("/inbox", headers=headers)).status_code == 200


@pytest.mark.parametrize("name", ["ap-none", "%00", "a" * 3_000, "%F0%9F%99%82"])
async def test_an_approval_that_is_not_there_is_not_found(http: AsyncClient, name: str) -> None:
    assert (await http.get(f"/inbox/{name}")).status_code == 404
    found = await http.get(f"/approvals/{name}")
    assert found.status_code == 404
    assert found.json()["detail"].startswith("no approval")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=201", "limit=9" + "9" * 5_000, "limit=000000001999", "status=open", "before=%00"],
)
async def test_a_list_that_can_not_be_asked_for_is_told_so(http: AsyncClient, query: str) -> None:
    assert (await http.get(f"/approvals?{query}")).status_code == 400


async def test_decided_ones_are_listed_by_how_they_were_decided(desk: Desk, http: AsyncClient) -> None:
    [asked] = await desk.asked(MAIL)
    await desk.decide(asked, type="cancel")

    cancelled = (await http.get("/approvals?status=cancelled&limit=200")).json()["approvals"]
    everything = (await http.get("/approvals?status=all&limit=1")).json()["approvals"]

    assert asked in [row["id"] for row in cancelled]
    assert everything[0]["id"] == asked
    assert everything[0]["choices"] == []
