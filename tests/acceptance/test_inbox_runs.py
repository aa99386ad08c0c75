"""The list of runs and a run's page: what it did, and replay from a checkpoint, by clicking."""

from __future__ import annotations

import operator
import re
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from langgraph_sdk import get_client
from playwright.async_api import Page, expect

from tests.acceptance.conftest import LIST, ORDER
from tests.acceptance.desk import Desk, csrf_in

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

READ = {"name": "read_mail", "args": {"id": "003-overdue-invoice"}}


async def _ran(desk: Desk, *turns: dict[str, Any], task: str = "look into it", usd_per_mtok: int = 0) -> str:
    """A thread that ran these turns."""
    path = desk.folder / f"{uuid.uuid4().hex}.yaml"
    price = {"input_per_mtok": usd_per_mtok, "output_per_mtok": usd_per_mtok}
    path.write_text(yaml.safe_dump({"turns": list(turns), "price": price}))
    request: Any = {"messages": [{"role": "user", "content": task}]}
    async with get_client(url=desk.server.url) as client:
        thread = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread, "react", input=request, context={"model": f"scripted:{path}"})
    return str(thread)


async def test_a_run_is_listed_with_its_outcome_and_cost_and_tells_what_it_did(desk: Desk, tab: Page) -> None:
    task = f"read the mail <b>{uuid.uuid4().hex}</b>"
    usage = {"input_tokens": 100, "output_tokens": 20}
    turns: list[dict[str, Any]] = [{"tool_calls": [READ], "usage": usage}, {"content": "It is spam.", "usage": usage}]
    await _ran(desk, *turns, task=task, usd_per_mtok=1_000)
    await tab.goto("/inbox/runs")
    row = tab.get_by_role("row").filter(has_text=task)
    await expect(row).to_contain_text("Completed")
    await expect(row).to_contain_text("$0.2400")
    await expect(row).to_contain_text("240")

    await row.get_by_role("link").click()

    await expect(tab.get_by_role("heading", level=1)).to_have_text(task)
    await expect(tab.locator(".answer")).to_have_text("It is spam.")
    nodes = await tab.locator(".step .node b").all_inner_texts()
    assert nodes == ["input", "request", "reason", "act", "sanitize", "reason", "finish"]
    reason = tab.locator(".step", has_text="120 tokens, $0.1200 so far")
    await expect(reason).to_have_count(1)
    call = reason.get_by_text("Read mail: 003-overdue-invoice")
    await call.click()
    await expect(reason.locator("dl")).to_contain_text("003-overdue-invoice")
    await expect(tab.locator(".did-outside")).to_contain_text("characters from outside")
    await expect(tab.locator(".did-warning").first).to_contain_text("looks like an instruction")
    result = tab.locator(".did-result")
    await result.locator("summary").click()
    await expect(result.locator(".text")).to_contain_text("Northline Accounts")


async def test_a_thread_with_two_requests_shows_the_last_ones_figures_and_those_of_both(desk: Desk, tab: Page) -> None:
    usage = {"input_tokens": 100, "output_tokens": 20}
    task = f"first {uuid.uuid4().hex}"
    thread = await _ran(desk, {"content": "One.", "usage": usage}, task="go", usd_per_mtok=1_000)
    request: Any = {"messages": [{"role": "user", "content": task}]}
    async with get_client(url=desk.server.url) as client:
        await client.runs.wait(thread, "react", input=request)  # on the same script: its turns count from the first

    await tab.goto("/inbox/runs")
    row = tab.get_by_role("row").filter(has_text=task)
    await expect(row).to_contain_text("$0.2400")
    await row.get_by_role("link").click()

    figures = tab.locator(".figures")
    await expect(figures.locator("div", has_text="Cost").first).to_contain_text("$0.1200")
    await expect(figures.locator("div", has_text="All 2 runs")).to_contain_text("$0.2400, 240 tokens")


async def test_a_run_shows_what_it_asked_and_what_it_changed(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(ORDER)
    await tab.goto(f"/inbox/runs/{desk.row(asked)['thread_id']}")
    await expect(tab.locator(".figures")).to_contain_text("Awaiting approval")
    await tab.get_by_role("link", name="Order 2 x Desk lamp for 76.50 USD").click()
    await tab.get_by_role("button", name="Approve", exact=True).click()
    await tab.wait_for_url("**/inbox?decided=*")

    await _until_it_says(tab, f"/inbox/runs/{desk.row(asked)['thread_id']}", ".figures", "Completed")

    await expect(tab.get_by_text(re.compile("approved by "))).to_be_visible()
    effect = tab.locator(".rows li", has_text="Order 2 x Desk lamp").filter(has=tab.locator("details"))
    await expect(effect.locator(".state")).to_have_text("done")
    await effect.locator("summary").click()
    await expect(effect).to_contain_text("placed: 2 x Desk lamp")


async def _until_it_says(tab: Page, address: str, where: str, what: str) -> None:
    """A run page is as it was loaded: load it until the server has gone on."""
    for _ in range(100):
        await tab.goto(address)
        if what in await tab.locator(where).first.inner_text():
            return
        await tab.evaluate("new Promise((done) => { setTimeout(done, 100); })")
    pytest.fail(f"{address} never said {what!r}")


async def test_replay_from_here_shows_what_it_would_do_and_forks_the_run(desk: Desk, tab: Page) -> None:
    turns: list[dict[str, Any]] = [{"tool_calls": [LIST]}, {"content": "First answer."}]
    thread = await _ran(desk, *turns)
    await tab.goto(f"/inbox/runs/{thread}")
    step = tab.locator(".step").filter(has=tab.locator(".node b", has_text="reason")).first
    await step.get_by_role("link", name="replay from here").click()

    await expect(tab.get_by_role("heading", name="Replay from here")).to_be_visible()
    await expect(tab.locator(".figures")).to_contain_text("act")
    await expect(tab.get_by_role("heading", name="Calls that would run")).to_be_visible()
    await expect(tab.locator("dl.call")).to_have_count(1)
    await tab.get_by_role("button", name="Start the replay").click()

    await expect(tab.locator(".notice")).to_contain_text("The replay has started")
    await _until_it_says(tab, f"/inbox/runs/{thread}", "#main", "on a branch that was left")
    await _until_it_says(tab, f"/inbox/runs/{thread}", ".figures", "Completed")
    nodes = await tab.locator(".step .node b").all_inner_texts()
    assert nodes.count("act") == 2


async def test_a_replay_says_which_effects_do_not_happen_again(desk: Desk, tab: Page) -> None:
    [asked] = await desk.asked(ORDER)
    thread = desk.row(asked)["thread_id"]
    await desk.decide(asked, type="approve")
    await _until_it_says(tab, f"/inbox/runs/{thread}", ".figures", "Completed")

    await tab.locator(".step").filter(has_text="then approve").get_by_role("link", name="replay from here").click()

    await expect(tab.get_by_role("heading", name="Effects that would not happen again")).to_be_visible()
    await expect(tab.locator("dl.order")).to_have_count(2)  # asked about again, and reused if it is allowed again


async def test_a_run_that_is_going_on_is_not_replayed_beside_it(desk: Desk) -> None:
    thread = await _ran(desk, {"tool_calls": [LIST]}, {"content": "end"})
    path = desk.folder / "slow.yaml"
    path.write_text(yaml.safe_dump({"turns": [{"content": "slow", "delay_s": 30}]}))
    async with get_client(url=desk.server.url) as client, desk.http() as http:
        [*_, first] = await client.threads.get_history(thread, limit=50)
        request: Any = {"messages": [{"role": "user", "content": "again"}]}
        run = await client.runs.create(thread, "react", input=request, context={"model": f"scripted:{path}"})
        checkpoint = first["checkpoint"]["checkpoint_id"]
        form = {"csrf": csrf_in((await http.get("/inbox/login")).text), "checkpoint": checkpoint}

        answer = await http.post(f"/inbox/replay/{thread}", data=form)
        await client.runs.cancel(thread, run["run_id"], wait=True)

    assert answer.status_code == 409
    assert "is being run by another process" in answer.text


async def test_long_runs_are_shown_in_stretches(desk: Desk, tab: Page) -> None:
    thread = await _ran(desk, {"tool_calls": [LIST]}, {"content": "end"})
    searches = [{"name": "search_documents", "args": {"query": f"policy {at}"}} for at in range(20)]
    long = await _ran(desk, *[{"tool_calls": [one]} for one in searches], {"content": "end"})
    await tab.goto(f"/inbox/runs/{thread}")
    await expect(tab.get_by_text("Earlier steps")).to_have_count(0)
    await tab.goto(f"/inbox/runs/{long}")
    await expect(tab.locator(".step")).to_have_count(50)
    first = await tab.locator(".step").first.get_attribute("id")

    await tab.get_by_role("link", name="Earlier steps").click()

    await expect(tab.locator(f'[id="{first}"]')).to_have_count(0)
    await expect(tab.locator(".step .node b").first).to_have_text("input")
    await tab.get_by_role("link", name="Newest steps").click()
    await expect(tab.locator(f'[id="{first}"]')).to_have_count(1)


async def test_runs_are_listed_page_by_page(desk: Desk, tab: Page) -> None:
    for at in range(60):
        desk.execute(
            "INSERT INTO runs (thread_id, owner, requester, graph, task, started_at) "
            "VALUES (%s, 'ann', 'ann', 'react', %s, now() - make_interval(days => 1, secs => %s))",
            (f"old/{at} & more", f"task {at}", at),
        )
    await tab.goto("/inbox/runs")
    seen = await tab.locator("tbody td:first-child").all_inner_texts()
    while await tab.get_by_role("link", name="Earlier").count():  # other tests' runs are newer
        last = tab.url
        await tab.get_by_role("link", name="Earlier").click()
        await tab.wait_for_url(partial(operator.ne, last))
        seen += await tab.locator("tbody td:first-child").all_inner_texts()

    assert "before=" in tab.url
    assert [task for task in seen if task.startswith("task ")] == [f"task {at}" for at in range(60)]
    await tab.get_by_role("link", name="Newest").click()
    await expect(tab.get_by_role("link", name="Earlier")).to_be_visible()


async def test_a_thread_or_checkpoint_that_is_not_there_is_not_found(desk: Desk) -> None:
    thread = await _ran(desk, {"content": "end"})
    async with desk.http() as http:
        for address in ("/inbox/runs/none", "/inbox/runs/%00", f"/inbox/replay/{thread}?checkpoint=none",
                        f"/inbox/replay/{thread}", "/inbox/replay/none?checkpoint=x"):  # fmt: skip
            assert (await http.get(address)).status_code == 404, address
        csrf = csrf_in((await http.get("/inbox/login")).text)
        form = {"csrf": csrf, "checkpoint": "none"}
        assert (await http.post(f"/inbox/replay/{thread}", data=form)).status_code == 404
        forged = await http.post(f"/inbox/replay/{thread}", data={**form, "csrf": "x"})
        assert forged.status_code == 403


async def test_a_thread_of_the_command_line_is_shown_and_replayed_there(desk: Desk, tab: Page) -> None:
    from app.lifespan import opened  # noqa: PLC0415 - loads the whole agent
    from app.runs import Runs  # noqa: PLC0415 - as above
    from graph.context import LocalContext  # noqa: PLC0415 - as above
    from services.settings import load  # noqa: PLC0415 - as above

    name = f"by hand/{uuid.uuid4().hex[:6]}?"
    workspace = Path(__file__).parents[2] / "examples/office"
    async with opened(load(database_url=desk.server.database_url, openai_api_key=None)) as everything:
        runs = Runs(opened=everything, progress=lambda _node, _change: None)
        await runs.start("list files", thread_id=name, context=LocalContext(workspace=workspace))
    await tab.goto("/inbox/runs")
    await tab.get_by_role("row").filter(has_text="list files").first.get_by_role("link").click()
    await expect(tab.locator(".figures")).to_contain_text("Completed")
    await tab.get_by_role("link", name="replay from here").nth(1).click()
    await tab.get_by_role("button", name="Start the replay").click()

    await expect(tab.locator(".failed")).to_contain_text(f"ballast replay '{name}' --checkpoint")


async def test_a_thread_the_server_learns_of_by_a_replay_stays_its_owners(desk: Desk) -> None:
    from app.lifespan import opened  # noqa: PLC0415 - loads the whole agent
    from app.runs import Runs  # noqa: PLC0415 - as above
    from graph.context import LocalContext  # noqa: PLC0415 - as above
    from services.settings import load  # noqa: PLC0415 - as above

    name = str(uuid.uuid4())
    workspace = Path(__file__).parents[2] / "examples/office"
    async with opened(load(database_url=desk.server.database_url, openai_api_key=None)) as everything:
        runs = Runs(opened=everything, progress=lambda _node, _change: None)
        await runs.start("list files", thread_id=name, context=LocalContext(workspace=workspace))
        at = (await runs.known(name)).config["configurable"]["checkpoint_id"]
        owner = await everything.owners.of(name)
    async with desk.http() as http:
        csrf = csrf_in((await http.get("/inbox/login")).text)
        answer = await http.post(f"/inbox/replay/{name}", data={"csrf": csrf, "checkpoint": at})
        thread = (await http.get(f"/threads/{name}")).json()

    assert answer.status_code == 303
    assert owner
    assert thread["metadata"]["owner"] == owner
