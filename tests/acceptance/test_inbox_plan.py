"""A run's plan on its page, in a real browser: drawn, told in a list, and nothing of it acts."""

from __future__ import annotations

import asyncio
import re
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from playwright.async_api import Locator, Page, expect

from tests.acceptance.browser import Chromium
from tests.acceptance.desk import Desk
from tests.acceptance.planned import planned, task

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

DESKS = [
    task("mails", "list_mail"),
    task("request", "read_mail", "mails", id="001-priya-standing-desks"),
    task("prices", "read_file", path="docs/catalogue.csv"),
    task("lost", "read_file", path="docs/not-there.md"),
    task("digest", "write_file", text="${lost}", path="x.md"),
    task("order", "place_order", "request", "prices", item="Standing desk", quantity=4, unit_price=389.0),
    task("confirm", "send_email", to="priya.raman@example.com", subject="Your desks", body="Ordered: ${order}"),
]


async def test_a_plan_is_drawn_and_told_as_it_stands(desk: Desk, tab: Page) -> None:
    thread = await planned(desk, *DESKS)

    await tab.goto(f"/inbox/runs/{thread}")

    drawing = tab.get_by_role("img", name="7 tasks, each right of what it needs")
    await expect(drawing).to_be_visible()
    stands = {"mails": "done", "request": "done", "prices": "done", "lost": "failed", "digest": "not run",
              "order": "waits", "confirm": "open"}  # fmt: skip
    boxes = {
        await box.locator(".name").text_content(): await box.locator(".how").text_content()
        for box in await drawing.locator("svg.box").all()
    }
    assert boxes == stands
    await expect(drawing.locator("path.line")).to_have_count(5)
    order, request = drawing.locator("svg.box.is-waiting .frame"), drawing.locator("svg.box", has_text="request")
    left, right = await request.bounding_box(), await order.bounding_box()
    assert left
    assert right
    assert right["x"] > left["x"] + left["width"]
    await expect(tab.locator("figcaption")).to_have_text(
        re.compile(r"7 tasks:\s+3 done\s+1 failed\s+1 waits for a person\s+1 open\s+1 not run")
    )
    rows = tab.locator("table.tasks tbody tr")
    await expect(rows).to_have_count(7)
    told = rows.filter(has_text="order").filter(has_text="Order 4 x Standing desk for 1,556.00 USD")
    await expect(told.locator("td")).to_have_text(
        ["order", "Order 4 x Standing desk for 1,556.00 USD", "request, prices", "waits for a person",
         "1 call, ~500 tokens"]
    )  # fmt: skip


async def test_a_task_that_waits_leads_to_its_approval_and_stands_as_was_decided(desk: Desk, tab: Page) -> None:
    thread = await planned(desk, *(one for one in DESKS if one["id"] not in ("lost", "digest")))
    await tab.goto(f"/inbox/runs/{thread}")
    await tab.locator("table.tasks").get_by_role("link", name="waits for a person").click()
    await expect(tab.get_by_role("heading", level=1)).to_contain_text("Order 4 x Standing desk")
    reject = tab.locator(".choice", has_text="Reject")
    await reject.locator("summary").click()
    await reject.get_by_role("button").click()
    await tab.wait_for_url("**/inbox?decided=*")

    for _ in range(100):
        await tab.goto(f"/inbox/runs/{thread}")
        if await tab.locator("table.tasks", has_text="refused").count():
            break
        await tab.evaluate("new Promise((done) => { setTimeout(done, 100); })")

    await expect(tab.locator("svg.box.is-refused .name")).to_have_text("order")
    await expect(tab.locator("svg.box.is-not_run .name")).to_have_text("confirm")


async def test_what_a_replan_dropped_is_drawn_and_told(desk: Desk, tab: Page) -> None:
    thread = await planned(desk, *DESKS[2:5], again=[task("list", "list_files")])

    await tab.goto(f"/inbox/runs/{thread}")

    box = tab.locator("svg.box.is-dropped")
    await expect(box.locator(".name")).to_have_text("digest")
    await expect(box.locator(".how")).to_have_text("dropped")
    row = tab.locator("table.tasks tbody tr").filter(has_text="digest")
    await expect(row.locator("td").nth(3)).to_have_text("dropped by a replan")
    await expect(tab.locator(".step", has_text="1 task dropped by a replan")).to_have_count(1)
    await expect(tab.locator("figcaption")).to_have_text(
        re.compile(r"4 tasks:\s+2 done\s+1 failed\s+1 dropped by a replan")
    )


async def test_the_steps_of_a_plan_tell_what_was_planned_and_what_each_pass_did(desk: Desk, tab: Page) -> None:
    thread = await planned(desk, *DESKS[:3])
    await tab.goto(f"/inbox/runs/{thread}")

    nodes = await tab.locator(".step .node b").all_inner_texts()
    assert nodes == ["input", "request", "plan", "execute", "join", "finish"]
    made = tab.locator(".step", has=tab.locator(".node b", has_text="plan"))
    await made.get_by_text("plans 3 tasks").click()
    await expect(made.locator(".text")).to_contain_text("request: Read mail, after mails")
    ran = tab.locator(".step", has=tab.locator(".node b", has_text="execute"))
    await expect(ran.locator(".did-call")).to_have_count(3)
    await expect(ran.locator(".did-result")).to_have_count(3)
    await expect(tab.locator(".step", has=tab.locator(".node b", has_text="join"))).to_contain_text("All done.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_plan_fits_a_phone_and_its_drawing_scrolls_in_its_own_frame(
    desk: Desk, browser: Chromium, scheme: Any
) -> None:
    thread = await planned(desk, *DESKS)
    viewport: Any = {"width": 360, "height": 740}
    tab = await browser.tab(base_url=desk.server.url, viewport=viewport, color_scheme=scheme)
    await tab.goto(f"/inbox/runs/{thread}")

    assert await tab.evaluate("document.documentElement.scrollWidth") <= 360
    canvas = tab.get_by_role("group", name="Drawing of the plan")
    assert await canvas.evaluate("(it) => it.scrollWidth > it.clientWidth")
    await canvas.focus()
    moved = asyncio.ensure_future(
        canvas.evaluate("(it) => new Promise((done) => { it.onscroll = () => done(it.scrollLeft); })")
    )
    await asyncio.sleep(0)  # it listens before the key is pressed
    await tab.keyboard.press("ArrowRight")
    assert await moved > 0
    await expect(tab.locator("table.tasks tbody tr").first).to_contain_text("mails")


async def test_a_models_names_are_text_in_drawing_and_list_and_fit_their_boxes(desk: Desk, browser: Chromium) -> None:
    """Ids may be letters of any script; what a state edited from outside holds may be anything."""
    thread = await planned(desk, *DESKS[:1])
    odd = ['<img src=x onerror="alert(1)">', "</svg></script>", "a\u202eb", "x" * 64, "日" * 64, "&amp;", ""]
    tasks: list[Any] = [{"id": name, "tool": f"{name}<b>", "args": {"a": name}, "needs": odd} for name in odd]
    async with get_client(url=desk.server.url) as client:
        await client.threads.update_state(thread, {"tasks": [*tasks, 1, {"id": 2}]}, as_node="finish")
    tab = await browser.tab(base_url=desk.server.url)
    await tab.goto(f"/inbox/runs/{thread}")

    names = await tab.locator("svg.box .name").all_text_contents()
    assert names[:3] == ["<img src=x onerror…", "</svg></script>", r"a\u202eb"]
    assert await tab.locator("svg.box title").first.text_content() == f"{odd[0]}: {odd[0].capitalize()}<b>, not run"
    assert await tab.locator("#main img").count() == 0
    await expect(tab.locator("table.tasks tbody tr")).to_have_count(len(odd))
    await expect(tab.locator("table.tasks .spelt").first).to_have_text(r"\u202e")
    for box in await tab.locator("svg.box").all():
        frame, name, does, how = [await right_of(box.locator(one)) for one in (".frame", ".name", ".does", ".how")]
        assert name < frame
        assert does < frame
        assert how < frame


async def right_of(part: Locator) -> float:
    """Where it ends; 0 of an empty text."""
    found = await part.bounding_box()
    return found["x"] + found["width"] if found else 0


async def test_a_large_plan_is_a_list_in_pages_and_its_steps_are_cut_short(desk: Desk, tab: Page) -> None:
    tasks = [task(f"t{at}", "get_order", id=f"ORD-{at:06}") for at in range(120)]
    thread = await planned(desk, *tasks, max_tool_calls=200)
    await tab.goto(f"/inbox/runs/{thread}")

    await expect(tab.get_by_role("img")).to_have_count(0)
    await expect(tab.locator("figcaption")).to_contain_text("120 tasks:")
    await expect(tab.locator("table.tasks tbody tr")).to_have_count(100)
    await expect(tab.locator(".step", has_text="and 140 more")).to_have_count(1)
    await tab.get_by_role("link", name="Later tasks").click()
    await expect(tab.locator("table.tasks tbody tr")).to_have_count(20)
    await expect(tab.locator("table.tasks tbody tr").first).to_contain_text("t100")
    await tab.get_by_role("link", name="Earlier tasks").click()
    await expect(tab.locator("table.tasks tbody tr").first).to_contain_text("t0")


@pytest.mark.parametrize("place", ["x", "-1", "9999999999999", "120", "٣", ""])
async def test_a_place_in_the_list_that_is_not_there_is_its_beginning(desk: Desk, place: str) -> None:
    thread = await planned(desk, *DESKS[:1])
    async with desk.http() as http:
        page: httpx.Response = await http.get(f"/inbox/runs/{thread}", params={"tasks": place})

    assert page.status_code == 200
    assert ">mails</b>" in page.text


async def test_a_run_that_plans_nothing_has_no_plan_on_its_page(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked({"name": "place_order", "args": {"item": "Lamp", "quantity": 1, "unit_price": 1.0}})
    await tab.goto(f"/inbox/runs/{desk.row(asked)['thread_id']}")

    await expect(tab.get_by_role("heading", name="Steps")).to_be_visible()
    await expect(tab.get_by_role("heading", name="Plan")).to_have_count(0)


async def test_a_plan_that_was_only_made_is_shown_before_it_runs(desk: Desk, tab: Page) -> None:
    from app.lifespan import opened  # noqa: PLC0415 - loads the whole agent
    from app.runs import Runs  # noqa: PLC0415 - as above
    from graph.context import LocalContext  # noqa: PLC0415 - as above
    from services.settings import load  # noqa: PLC0415 - as above

    thread = str(uuid.uuid4())
    context = LocalContext(model="offline", workspace=Path(__file__).parents[2] / "examples/office")
    async with opened(load(database_url=desk.server.database_url, openai_api_key=None)) as everything:
        runs = Runs(opened=everything, progress=lambda _node, _change: None)
        request = "list files and list mail"
        await runs.start(request, thread_id=thread, context=context, graph="plan", plan_only=True)
        await tab.goto(f"/inbox/runs/{thread}")
        await expect(tab.locator(".figures")).to_contain_text("Planned, not run")
        await expect(tab.locator("svg.box.is-open .name")).to_have_text(["t1", "t2"])

        await runs.resume(thread, context=context)
        await tab.goto(f"/inbox/runs/{thread}")
        await expect(tab.locator("svg.box.is-done .name")).to_have_text(["t1", "t2"])
