"""What the faulty provider answers: the right reply to a conversation, and twelve ways to spoil it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PLAN = "plan"
"""The tool a planner answers by."""
EVERY = 3
"""Each third call is spoiled."""

UNBILLED = ("429", "500")
CUT_OFF = ("hang", "cut", "malformed")
"""The provider bills what it wrote, the client never learns how much that was."""
SPOILED = ("broken_arguments", "empty", "truncated", "unknown_tool", "misfit", "repeated_id", "refusal")
FAULTS = (*UNBILLED, *CUT_OFF, *SPOILED)

TURN = re.compile(r"call_(\d+)_")
"""Ids of the calls of turn k begin so; by them the server knows how far a conversation is."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One chat completion."""

    content: str | None
    calls: Sequence[Mapping[str, Any]] = ()
    """As the protocol has them: {"id", "type", "function": {"name", "arguments"}}."""
    finish_reason: str = "stop"
    refusal: str | None = None

    @property
    def tokens(self) -> int:
        """Four characters a token."""
        text = (self.content or "") + (self.refusal or "") + json.dumps(list(self.calls))
        return len(text) // 4 + 1


SPEECHLESS = {
    "empty": Reply(content=""),
    "truncated": Reply(content="This reply was cut", finish_reason="length"),
    "refusal": Reply(content=None, refusal="I can't help with that."),
}
"""Spoiled replies that call nothing."""


def fault(seed: int, run: int, call: int) -> str | None:
    """What spoils a run's call, both counted from 0."""
    if call % EVERY != run % EVERY:
        return None
    return random.Random(f"{seed} {run} {call}").choice(FAULTS)  # noqa: S311 - a test's dice


def prompt_tokens(request: Mapping[str, Any]) -> int:
    """Of messages and tools, four characters a token."""
    tools = json.dumps(request.get("tools") or "")
    return (sum(len(json.dumps(message, ensure_ascii=False)) for message in request["messages"]) + len(tools)) // 4


def right(
    request: Mapping[str, Any], turns: Sequence[Mapping[str, Any]], planner: Sequence[Mapping[str, Any]] = ()
) -> Reply:
    """The next turn of the script; a request without tools wants a summary, one with the tool `plan` a plan."""
    if not request.get("tools"):
        return Reply(content="Folded: what was read so far.")
    if planner and any(tool.get("function", {}).get("name") == PLAN for tool in request["tools"]):
        turns, turn = planner, 0
    else:
        turn = next_turn(request["messages"])
    if turn >= len(turns) or not turns[turn].get("tool_calls"):
        return Reply(content="All done.")
    calls = [
        called(f"call_{turn}_{position}", call["name"], json.dumps(call["args"]))
        for position, call in enumerate(turns[turn]["tool_calls"])
    ]
    return Reply(content=None, calls=calls, finish_reason="tool_calls")


def next_turn(messages: Sequence[Mapping[str, Any]]) -> int:
    """One after the newest whose calls are in the conversation."""
    ids = [call["id"] for message in messages for call in message.get("tool_calls") or ()]
    return 1 + max((int(found[1]) for one in ids if (found := TURN.match(one))), default=-1)


def spoiled(kind: str, reply: Reply) -> Reply:
    """The reply as a confused model gives it; ids of another kind leave the script where it was."""
    misfit = json.dumps({"item": "", "quantity": -1})
    match kind:
        case "broken_arguments":
            return _calling(called("odd_0", "post_notice", '{"text": "half'))
        case "unknown_tool":
            return _calling(called("odd_1", "launch_rocket", "{}"))
        case "misfit":
            return _calling(called("odd_2", "place_order", misfit))
        case "repeated_id" if reply.calls:
            return _calling(*({**call, "id": reply.calls[0]["id"]} for call in reply.calls))
        case _:
            return SPEECHLESS.get(kind, reply)


def _calling(*calls: Mapping[str, Any]) -> Reply:
    return Reply(content=None, calls=calls, finish_reason="tool_calls")


def called(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """One call of a reply, as the protocol writes it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def bounded(request: Mapping[str, Any], reply: Reply) -> Reply:
    """The reply, or as much of one as the request allows."""
    most = request.get("max_completion_tokens") or request.get("max_tokens") or reply.tokens
    return reply if reply.tokens <= most else Reply(content="x" * (4 * most - 5), finish_reason="length")


def whole(request: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """The reply as one body."""
    message = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
    if reply.calls:
        message["tool_calls"] = list(reply.calls)  # type: ignore[assignment]  # JSON
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    return {**_head(request, "chat.completion"), "choices": [choice], "usage": _usage(request, reply)}


def pieces(request: Mapping[str, Any], reply: Reply) -> list[dict[str, Any]]:
    """The reply as a stream sends it."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in re.findall(r"\S+\s*", reply.content or "")]
    if reply.refusal:
        deltas.append({"refusal": reply.refusal})
    for index, call in enumerate(reply.calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        first = {"index": index, "id": call["id"], "type": "function", "function": {"name": name, "arguments": ""}}
        deltas += [{"tool_calls": [first]}]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in _halves(arguments)]
    head = _head(request, "chat.completion.chunk")
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}]})
    if (request.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": _usage(request, reply)})
    return chunks


def _halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def _head(request: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-chaos", "object": kind, "created": 1, "model": request["model"]}


def _usage(request: Mapping[str, Any], reply: Reply) -> dict[str, int]:
    into, out = prompt_tokens(request), reply.tokens
    return {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
