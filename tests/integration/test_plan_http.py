"""The plan graph with a provider that holds OpenAI's rules for messages, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.lifespan import Opened, opened
from app.runs import Runs
from graph.context import LocalContext
from services.settings import load
from tests.integration.conftest import decide, ids_of
from tests.integration.planning import Desk, plan, runs_at, stands, task

LONGEST_ID = 40
"""Of a tool call, in characters: OpenAI refuses longer ones."""


@dataclass(kw_only=True)
class Provider:
    """Plays one reply a request, the planner's and the others' each in order, and notes what breaks a rule."""

    planner: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    broken: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def reply(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        self.broken += _broken(asked["messages"])
        offered = [one["function"]["name"] for one in asked.get("tools", [])]
        if offered == ["extract"]:
            turn = {"tool_calls": [{"name": "extract", "args": {"facts": [{"value": "Hello"}]}}]}
        else:
            turn = (self.planner if offered == ["plan"] else self.answers).pop(0)
        calls = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": one["name"], "arguments": json.dumps(one["args"])},
            }
            for number, one in enumerate(turn.get("tool_calls", []))
        ]
        message = {"role": "assistant", "content": turn.get("content"), **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        usage = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}
        whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4o"}
        return {**whole, "choices": [choice], "usage": usage}


def _broken(messages: list[dict[str, Any]]) -> list[str]:
    """What OpenAI would refuse: a call without its result right behind it, a result without a call, an id too long."""
    wrong: list[str] = []
    due: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in due:
                wrong.append(f"no call {message['tool_call_id']}")
            else:
                due.remove(message["tool_call_id"])
            continue
        wrong += [f"no result of {one}" for one in due]
        due = [call["id"] for call in message.get("tool_calls") or []]
        wrong += [f"{one} is too long" for one in due if len(one) > LONGEST_ID]
    return wrong + [f"no result of {one}" for one in due]


@pytest.fixture
def provider() -> Iterator[Provider]:
    tasks = [task("a", "lookup", id="x"), task("b", "buy", item="$a.id", price=2.5), task("f", "broken", id="gone")]
    around = plan(task("o", "outside", text="Hello ${b.order}"))
    said = Provider(planner=[plan(*tasks), around], answers=[{"content": "Bought."}])

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_given: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            text = json.dumps(said.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        said.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield said
        server.shutdown()
        thread.join()


@pytest.fixture
async def services(database_url: str, tmp_path: Path, provider: Provider) -> AsyncIterator[Opened]:
    key = SecretStr("sk-plan-0123456789")
    chosen = load(database_url=database_url, home=tmp_path / "home", openai_api_key=key, openai_base_url=provider.url)
    async with opened(chosen) as everything:
        yield everything


async def test_a_planned_run_breaks_no_rule_of_the_provider(services: Opened, provider: Provider) -> None:
    desk = Desk()
    runs: Runs = runs_at(desk, services)
    context = LocalContext(model="openai:gpt-4o")
    report = await runs.start("buy x", thread_id="t", context=context, graph="plan")
    assert report["outcome"] == "awaiting_approval"

    await decide(services, ids_of(report)["buy"], "approve")
    report = await runs.resume("t", context=context)

    assert (report["outcome"], report["answer"], desk.calls("buy")) == ("completed", "Bought.", [("<x>", 2.5)])
    assert await stands(runs) == {"a": "done", "b": "done", "f": "failed", "o": "done"}
    assert provider.broken == []
    assert len(provider.asked) == 4  # the extractor's among them
    assert "tools" not in provider.asked[-1]
