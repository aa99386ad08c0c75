"""Runs under a policy: what it raises is asked with its reason, and what rose after it was allowed is asked again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.lifespan import Opened, opened
from app.runs import Runs
from graph.context import Context
from graph.errors import InvalidDecision
from nodes.decisions import checked
from services.settings import load
from tests.integration.conftest import MAIL, ORDER, Script, calls, decide, ids_of, results_of, say

Under = Callable[..., AbstractAsyncContextManager[tuple[Opened, Runs]]]


@pytest.fixture
def under(database_url: str, tmp_path: Path) -> Under:
    """A process of its own on the same database, under a policy for these tools."""

    @asynccontextmanager
    async def start(**tools: Any) -> AsyncIterator[tuple[Opened, Runs]]:
        path = tmp_path / "policy.yaml"
        path.write_text(yaml.safe_dump({"tools": tools}))
        settings = load(database_url=database_url, home=tmp_path / "home", openai_api_key=None, policy=path)
        async with opened(settings) as services:
            yield services, Runs(opened=services, progress=lambda _node, _change: None)

    return start


def _rule(argument: str, risk: str, **condition: Any) -> dict[str, Any]:
    return {"raise": [{"argument": argument, "risk": risk, "reason": "as the policy says", **condition}]}


GO_ON = Context()


async def _tools_run(services: Opened) -> list[str]:
    return [effect["tool"] for effect in await services.ledger.of_thread("t") if effect["state"] == "done"]


async def test_a_mail_to_somebody_new_is_asked_about_and_a_second_one_waits_like_any_mail(
    under: Under, script: Script
) -> None:
    async with under(send_email=_rule("to", "high", new=True)) as (services, runs):
        first = await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
        await decide(services, ids_of(first)["send_email"], "approve")
        ended = await runs.resume("t", context=GO_ON)
        second = await runs.start("go", thread_id="u", context=script(calls(MAIL), say("done")))

    [asked], [again] = first["approvals"], second["approvals"]
    assert (asked["risk"], asked["reason"], asked["deadline"]) == ("high", "as the policy says", None)
    assert ended["outcome"] == "completed"
    assert (again["risk"], again["reason"]) == ("medium", "sends mail in your name")


async def test_two_new_ones_in_one_reply_are_each_asked_about(under: Under, script: Script) -> None:
    other = ("send_email", {**MAIL[1], "subject": "Again"})
    async with under(send_email=_rule("to", "high", new=True)) as (services, runs):
        report = await runs.start("go", thread_id="t", context=script(calls(MAIL, other), say("done")))
        first, second = (row["id"] for row in report["approvals"])
        await decide(services, first, "approve")
        await runs.resume("t", context=GO_ON)

        assert (await _tools_run(services), (await services.approvals.get(second)).status) == (
            ["send_email"], "pending",
        )  # fmt: skip


async def test_a_read_that_a_policy_raises_is_asked_about_too(under: Under, script: Script) -> None:
    read = ("read_file", {"path": "docs/travel-policy.md"})
    async with under(read_file={"risk": "high", "reason": "not without asking"}) as (services, runs):
        report = await runs.start("go", thread_id="t", context=script(calls(read), say("done")))
        assert [(row["risk"], row["reason"]) for row in report["approvals"]] == [("high", "not without asking")]
        await decide(services, ids_of(report)["read_file"], "approve")

        assert (await runs.resume("t", context=GO_ON))["outcome"] == "completed"


async def test_what_was_approved_at_high_runs_while_it_is_high(under: Under, script: Script) -> None:
    async with under() as (services, runs):
        report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
        await decide(services, ids_of(report)["place_order"], "approve")

    async with under(place_order=_rule("quantity", "high", above=1)) as (services, runs):
        assert (await runs.resume("t", context=GO_ON))["outcome"] == "completed"
        assert await _tools_run(services) == ["place_order"]


@pytest.mark.parametrize(
    "tightened", [{"risk": "critical", "reason": "as the policy says"}, _rule("quantity", "critical", above=1)]
)
async def test_what_became_critical_after_it_was_approved_is_handed_to_a_person(
    under: Under, script: Script, tightened: dict[str, Any]
) -> None:
    async with under() as (services, runs):
        report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
        await decide(services, ids_of(report)["place_order"], "approve")

    async with under(place_order=tightened) as (services, runs):
        report = await runs.resume("t", context=GO_ON)

        [again] = await services.approvals.find(thread_id="t", pending=True)
        assert (report["outcome"], again.risk, again.reason) == ("handed_to_person", "critical", "as the policy says")
        assert await _tools_run(services) == []
        await decide(services, again.id, "done", message="ordered by phone")
        assert (await runs.resume("t", context=GO_ON))["outcome"] == "completed"
        assert (await results_of(runs, "t"))["place_order"] == "A person did this themselves: ordered by phone."


@pytest.mark.parametrize("by", ["approve", "edit", "deadline"])
async def test_what_was_let_go_at_medium_and_is_high_now_is_asked_again(under: Under, script: Script, by: str) -> None:
    args = {**MAIL[1], "subject": "Hello"} if by == "edit" else MAIL[1]
    async with under() as (services, runs):
        report = await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
        if by == "deadline":
            async with services.pool.connection() as connection:
                await connection.execute("UPDATE approvals SET deadline = now()")
            assert [row.status for row in await services.approvals.release_due("t", overdue_s=60)] == ["approved"]
        else:
            await decide(services, ids_of(report)["send_email"], by, **({"args": args} if by == "edit" else {}))

    async with under(send_email={"four_eyes": True}) as (services, runs):
        report = await runs.resume("t", context=GO_ON)

        [again] = await services.approvals.find(thread_id="t", pending=True)
        assert (again.risk, again.reason, again.deadline) == ("high", "a second person must agree", None)
        assert (again.args, await _tools_run(services)) == (args, [])
        await decide(services, again.id, "approve")
        assert (await runs.resume("t", context=GO_ON))["outcome"] == "completed"
        assert await _tools_run(services) == ["send_email"]


async def test_an_edit_that_raises_the_tier_is_asked_about_at_that_tier(under: Under, script: Script) -> None:
    crowd = ", ".join(f"p{number}@example.com" for number in range(4))
    async with under(send_email=_rule("to", "high", more_than=3)) as (services, runs):
        report = await runs.start("go", thread_id="t", context=script(calls(MAIL), say("done")))
        await decide(services, ids_of(report)["send_email"], "edit", args={**MAIL[1], "to": crowd})

        report = await runs.resume("t", context=GO_ON)

        [again] = await services.approvals.find(thread_id="t", pending=True)
        assert (again.risk, again.args["to"], await _tools_run(services)) == ("high", crowd, [])
        await decide(services, again.id, "approve")
        assert (await runs.resume("t", context=GO_ON))["outcome"] == "completed"
        assert f"sent to {crowd}" in (await results_of(runs, "t"))["send_email"]
        assert "A person changed the arguments" in (await results_of(runs, "t"))["send_email"]


async def test_an_edit_that_the_policy_makes_critical_is_refused(under: Under, script: Script) -> None:
    async with under(place_order=_rule("quantity", "critical", above=100)) as (services, runs):
        report = await runs.start("go", thread_id="t", context=script(calls(ORDER), say("done")))
        row = await services.approvals.get(ids_of(report)["place_order"])

        with pytest.raises(InvalidDecision, match=r"makes place_order critical \(as the policy says\)"):
            await checked(row, {"type": "edit", "args": {**ORDER[1], "quantity": 101}}, services.services.tools)
