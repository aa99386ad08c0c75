"""Replies in pieces: how ours are cut into chunks, and how broken arguments survive being streamed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

BROKEN = "broken_arguments"
"""Key in `response_metadata`: {call id, empty without one: what is wrong with the text of its arguments}."""

UNUSABLE_ENDS = ("content_filter", "length")
"""Reasons to end that make a reply unusable."""


def chunks_of(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """The reply word by word, then its calls, then usage and metadata."""
    for word in re.findall(r"\S+\s*|\s+", str(message.text)):
        yield ChatGenerationChunk(text=word, message=AIMessageChunk(content=word))
    calls = [(call["name"], json.dumps(call["args"]), call["id"]) for call in message.tool_calls]
    calls += [(call["name"] or "", call["args"] or "", call["id"]) for call in message.invalid_tool_calls]
    for index, (name, args, call_id) in enumerate(calls):
        piece = tool_call_chunk(name=name, args=args, id=call_id, index=index)
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )
    )


async def marking_broken_arguments(
    chunks: AsyncIterator[ChatGenerationChunk],
) -> AsyncIterator[ChatGenerationChunk]:
    """Pass chunks on; at the end name the calls whose arguments are not JSON.

    LangChain completes cut JSON when it joins chunks, so a quantity of 10 cut to 1 would look whole.
    """
    names: dict[int, str] = {}
    texts: dict[int, str] = {}
    async for chunk in chunks:
        yield chunk
        if isinstance(chunk.message, AIMessageChunk):
            for piece in chunk.message.tool_call_chunks:
                index = piece["index"] or 0
                names[index] = names.get(index) or piece["id"] or ""
                texts[index] = texts.get(index, "") + (piece["args"] or "")
    broken = {names[index]: wrong for index, text in texts.items() if (wrong := fault_of(text))}
    if broken:
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={BROKEN: broken}))


def fault_of(arguments: str) -> str | None:
    """What is wrong with the text of a call's arguments; None when it is a JSON object, or empty."""
    try:
        parsed = json.loads(arguments or "{}", strict=False)
    except json.JSONDecodeError as error:
        return str(error)
    return None if isinstance(parsed, dict) else "not a JSON object"


def with_broken_calls_apart(message: AIMessage) -> AIMessage:
    """Calls marked while streaming, and those no checkpoint can hold, moved to `invalid_tool_calls`."""
    broken = message.response_metadata.get(BROKEN, {})
    wrong = [broken.get(call["id"] or "") or _unstorable(call["args"]) for call in message.tool_calls]
    if not any(wrong):
        return message
    judged = list(zip(message.tool_calls, wrong, strict=True))
    invalid = [
        invalid_tool_call(name=call["name"], args=json.dumps(call["args"]), id=call["id"], error=error)
        for call, error in judged
        if error
    ]
    whole = [call for call, error in judged if not error]
    apart = [*message.invalid_tool_calls, *invalid]
    return message.model_copy(update={"tool_calls": whole, "invalid_tool_calls": apart})


def _unstorable(value: object) -> str | None:
    """Why msgpack takes no such arguments; None when it does."""
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else "a whole number of more than 64 bits"
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_unstorable, inner)), None)


def ended_once(message: AIMessage) -> AIMessage:
    """The message with one reason to end: LangChain joins those of a provider that repeats it, `lengthlength`."""
    told = message.response_metadata.get("finish_reason")
    reason = next((one for one in UNUSABLE_ENDS if isinstance(told, str) and one in told), told)
    if reason == told:
        return message
    return message.model_copy(update={"response_metadata": {**message.response_metadata, "finish_reason": reason}})


def estimated_tokens(messages: Sequence[BaseMessage]) -> int:
    """Four characters a token: a stated rule, good to about a third for English text."""
    return sum(map(_chars, messages)) // 4


def estimated_usage(messages: Sequence[BaseMessage], reply: AIMessage) -> UsageMetadata:
    """What a scripted or offline reply is said to take; a provider's is counted by `tokens.usage_of_reply`."""
    prompt = estimated_tokens(messages)
    completion = (_chars(reply) + 3) // 4
    return UsageMetadata(input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion)


def _chars(message: BaseMessage) -> int:
    content = message.content
    size = len(content) if isinstance(content, str) else sum(len(str(block)) for block in content)
    if isinstance(message, AIMessage) and message.tool_calls:
        size += sum(len(call["name"]) + len(str(call["args"])) for call in message.tool_calls)
    return size
