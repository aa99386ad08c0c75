"""Corners of what a run is charged, what it says it did, and what it is refused."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from app.runs import Runs
from benchmarks.costs import Unlimited
from graph.budget import Place, Reserved, Spent
from graph.context import LocalContext
from graph.errors import BadSetting
from graph.state import no_usage
from services.budget import RunBudget
from services.clock import FixedClock
from services.settings import load
from services.tokens import PromptCount
from tests.integration.conftest import LIST, Script, calls, say
from tests.integration.recording import chain_of

FOLDING = [calls(("read_file", {"path": "docs/catalogue.csv"})), calls(LIST), say("done")]


async def test_done_counts_folded_results_too(runs: Runs, script: Script) -> None:
    report = await runs.start(
        "go", thread_id="t", context=script(*[calls(LIST)] * 9, keep_tool_results=1, max_iterations=4)
    )
    assert "Done: list_files x4." in report["answer"]


@pytest.mark.parametrize("fault", ["empty", "truncated"])
async def test_an_unusable_summary_does_not_replace_the_history(runs: Runs, script: Script, fault: str) -> None:
    context = script(*FOLDING, lists={"summarizer": [{"error": fault}]}, keep_tool_results=1)
    await runs.start("go", thread_id="t", context=context)
    assert "Standing desk" in (await runs.known("t")).values["summary"]


async def test_a_failing_summarizer_is_counted(runs: Runs, script: Script) -> None:
    context = script(*FOLDING, lists={"summarizer": [{"error": "server_error"}]}, keep_tool_results=1)
    report = await runs.start("go", thread_id="t", context=context)
    assert report.get("faults") == {"model_error": 1}


async def test_a_failure_before_a_limit_is_counted(runs: Runs, script: Script) -> None:
    failing = script({"error": "rate_limit", "usage": {"input_tokens": 100, "output_tokens": 0}}, max_tokens=5_000)
    costly = script({"content": "hi", "usage": {"input_tokens": 100_000, "output_tokens": 0}})
    report = await runs.start("go", thread_id="t", context=chain_of(failing, costly))
    assert report["outcome"] == "stopped_tokens"
    assert (report["usage"]["iterations"], report.get("faults")) == (1, {"model_error": 1})


async def test_an_answer_of_invisible_characters_is_empty(runs: Runs, script: Script) -> None:
    report = await runs.start("go", thread_id="t", context=script(say("\u200b"), say("seen")))
    assert report["answer"] == "seen"


async def test_unknown_tools_to_the_end_name_the_models(runs: Runs, script: Script) -> None:
    context = chain_of(*[script(*[calls(("rocket", {}))] * 9) for _ in range(2)])
    report = await runs.start("go", thread_id="t", context=context)
    assert all(member in report["answer"] for member in context.model.split(","))


def test_a_bad_tenant_is_not_told_to_be_an_address() -> None:
    with pytest.raises(BadSetting) as refused:
        load(tenant="a\nb")
    assert "http" not in str(refused.value)


@pytest.mark.parametrize("tenant", ["  ", "\x85", "a\u2028b"])
def test_a_blank_or_line_breaking_tenant_is_refused(tenant: str) -> None:
    with pytest.raises(BadSetting, match="printable"):
        load(tenant=tenant)


class Lost(Unlimited):
    async def reserve(self, worst: Spent, place: Place, *, tenant: str) -> Reserved:
        del place, tenant
        await asyncio.sleep(0)
        return Reserved(worst=worst, day=date.min, before=Spent(calls=1, prompt_tokens=60))


async def test_calls_in_flight_do_not_pass_a_limit_when_lost_ones_are_found() -> None:
    place = Place(thread_id="t", checkpoint_id="c", node="n")
    run = RunBudget(
        limits=LocalContext(max_tokens=100), usage=no_usage(), place=place, spending=Lost(), clock=FixedClock()
    )
    await asyncio.gather(*[run.reserve(Spent(prompt_tokens=33)) for _ in range(3)], return_exceptions=True)
    assert run.left().tokens >= 0


async def test_a_clock_that_goes_back_makes_no_negative_time() -> None:
    place = Place(thread_id="t", checkpoint_id="c", node="n")
    clock = FixedClock()
    run = RunBudget(limits=LocalContext(), usage=no_usage(), place=place, spending=Unlimited(), clock=clock)
    clock.move(-100)
    assert (await run.close())["seconds"] >= 0


async def test_one_absurd_count_of_a_provider_does_not_end_every_later_run() -> None:
    count = PromptCount()
    count.learn(100, 10**12)
    assert count.factor < 100
