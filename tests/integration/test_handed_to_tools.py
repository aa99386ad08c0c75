"""What a tool is handed: only what fits it, and a context the model can neither see nor set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from langchain_core.tools import tool as plain_tool
from pydantic import BaseModel, model_validator

from graph.tools import Step
from tests.integration.tools_bench import Bench, a_call
from tools.base import Injected, Marks, ToolContext, tool

Build = Callable[..., Bench]


async def test_a_tool_that_is_gone_since_it_was_allowed_is_an_answer(build: Build) -> None:
    result = await build().executor.run(a_call("act"), Step(thread_id="t", workspace=Path()), occurrence=0)

    assert (result.ok, result.text) == (False, "there is no tool 'act' any more")


class _Range(BaseModel):
    first: int
    last: int

    @model_validator(mode="after")
    def _in_order(self) -> _Range:
        if self.last < self.first:
            raise ValueError("last comes before first")
        return self


async def test_arguments_that_no_longer_fit_are_told_before_anything_runs(build: Build) -> None:
    @plain_tool(args_schema=_Range)
    async def act(first: int, last: int) -> str:
        """Act."""
        return f"{first}-{last}"

    bench = build(act)

    result = await bench.executor.run(a_call("act", first=2, last=1), bench.step("t"), occurrence=0)

    assert "last comes before first" in result.text
    assert (result.ok, await bench.states()) == (False, ["failed"])
    assert "last comes before first" in ((await bench.executor.assess("act", {"first": 2, "last": 1})).error or "")
    assert await bench.said("act", first=1, last=2) == "1-2"


async def test_a_tool_gets_its_context_hidden_from_the_model_and_can_not_be_handed_another(build: Build) -> None:
    seen: list[ToolContext] = []

    @tool(risk="medium", untrusted_output=True, idempotent=False)
    async def act(context: Injected) -> str:
        """Act."""
        seen.append(context)
        return context.idempotency_key

    bench = build(act)

    result = await bench.executor.run(a_call("act", context="forged"), bench.step("t"), occurrence=0)

    [context], [effect] = seen, await bench.ledger.of_thread("t")
    assert (context.thread_id, context.workspace, context.smtp_url) == ("t", bench.workspace, None)
    assert result.text == context.idempotency_key == effect["key"]
    assert result.untrusted
    assert [one.name for one in bench.executor.offered()] == ["act"]
    assert "takes no context" in ((await bench.executor.assess("act", {"context": "forged"})).error or "")


async def test_a_plain_langchain_tool_runs_as_high_risk_untrusted_and_once(build: Build) -> None:
    done: list[str] = []

    @plain_tool
    def book(room: str) -> dict[str, str]:
        """Book a room."""
        done.append(room)
        return {"booked": room}

    bench = build(book)

    first, again = await bench.run("book", room="A"), await bench.run("book", room="A")

    assert (await bench.executor.assess("book", {"room": "A"})).risk == "high"
    assert (json.loads(first.text), first.untrusted, again.reused, done) == ({"booked": "A"}, True, True, ["A"])
    assert Marks().effect
