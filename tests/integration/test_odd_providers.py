"""Providers that speak OpenAI's protocol nearly: over real HTTP, what they say is what the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import SecretStr

from graph.models import Question
from nodes.faults import of_reply
from services.budget import RunBudget
from services.endpoints import endpoints_of
from services.models import ModelChain
from services.settings import load
from tests.budgets import budget, spent_of
from tests.integration.test_openai_http import TOOLS

USAGE = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}


@dataclass(kw_only=True)
class Provider:
    """Answers every request with the same."""

    body: Mapping[str, Any] = field(default_factory=dict)
    chunks: Sequence[Mapping[str, Any]] = ()
    url: str = ""


@pytest.fixture
def provider() -> Iterator[Provider]:
    said = Provider()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_given: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            whole = json.dumps(said.body)
            streamed = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in said.chunks) + "data: [DONE]\n\n"
            kind, text = ("text/event-stream", streamed) if asked.get("stream") else ("application/json", whole)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        said.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield said
        server.shutdown()
        thread.join()


async def _ask(provider: Provider, spends: RunBudget | None = None) -> AIMessage:
    settings = load(openai_api_key=SecretStr("sk-odd-0123456789"), openai_base_url=provider.url, openai_timeout=10.0)
    async with aclosing(ModelChain(settings, endpoints_of(settings))) as models:
        question = Question(messages=[HumanMessage("look at it")], tools=TOOLS)
        return (await models.complete("openai:gpt-4o", question, budget=spends or budget())).message


async def _streamed(provider: Provider) -> AIMessage:
    replies: list[AIMessage] = []

    async def ask(state: MessagesState) -> dict[str, Any]:
        replies.append(await _ask(provider))
        return {"messages": [*state["messages"], replies[0]]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    _ = [part async for part in builder.compile().astream({"messages": []}, stream_mode="messages")]
    return replies[0]


def _body(text: str, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    told = {} if usage is None else {"usage": usage}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice], **told}


def _chunk(delta: Mapping[str, Any], ended: str | None = None) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": ended}]
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": choices}


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
        {"prompt_tokens": -1_000, "completion_tokens": -5, "total_tokens": -1_005},
        {"prompt_tokens": 10**30, "completion_tokens": 10**30, "total_tokens": 10**30},
        {"prompt_tokens": 0.5, "completion_tokens": 0.5, "total_tokens": 1},
    ],
)
async def test_what_a_provider_does_not_count_or_can_not_mean_is_charged_from_above(
    provider: Provider, usage: dict[str, Any] | None
) -> None:
    provider.body, one = _body("字" * 1_000, usage), budget()

    await _ask(provider, one)

    charged = spent_of(one)
    assert charged.calls == 1
    assert 50 <= charged.prompt_tokens <= 500, "the offered tools are part of it"
    assert 1_000 <= charged.completion_tokens <= 2_000
    assert charged.cost_usd > 0.01


@pytest.mark.parametrize("cached", [60, -60, 0])
async def test_more_from_the_cache_than_was_read_is_charged_as_read(provider: Provider, cached: int) -> None:
    provider.body, one = _body("hello", {**USAGE, "prompt_tokens_details": {"cached_tokens": cached}}), budget()

    await _ask(provider, one)

    charged = spent_of(one)
    assert (charged.calls, charged.prompt_tokens, charged.completion_tokens) == (1, 50, 5)
    assert charged.cost_usd == pytest.approx((50 * 2.5 + 5 * 10) / 1e6)


@pytest.mark.parametrize("call_id", [None, "", "c1"])
async def test_cut_arguments_of_a_call_without_an_id_are_not_completed_either(
    provider: Provider, call_id: str | None
) -> None:
    function = {"name": "look", "arguments": '{"path": "notes.txt", "quantity": 1'}
    call = {"index": 0, "id": call_id, "type": "function", "function": function}
    provider.chunks = [_chunk({"role": "assistant", "tool_calls": [call]}), _chunk({}, "tool_calls")]

    message = await _streamed(provider)

    assert message.tool_calls == []
    assert [broken["name"] for broken in message.invalid_tool_calls] == ["look"]


@pytest.mark.parametrize(("ended", "kind"), [("length", "truncated_reply"), ("content_filter", "refusal")])
async def test_a_reason_to_end_that_is_repeated_still_counts(provider: Provider, ended: str, kind: str) -> None:
    provider.chunks = [_chunk({"role": "assistant", "content": "half of"}, ended), _chunk({}, ended)]

    fault = of_reply(await _streamed(provider))

    assert fault
    assert fault.kind == kind
