"""A chat model that plays exact turns from a file: for tests, ours and users', and for reproductions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolCall, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from graph.models import Role
from services.by_rule import RULES
from services.digest import digest
from services.script_file import RawCall, Script, Tokens, Turn, read_script
from services.streamed import chunks_of, estimated_usage, fault_of, marking_broken_arguments

REPEATED: tuple[Role, ...] = ("summarizer", *RULES)
"""How often these are asked follows from sizes: the last entry of their list stands for the rest."""

TOLD = {
    "rate_limit": "429, too many requests",
    "timeout": "the request timed out",
    "server_error": "500, internal server error",
    "malformed_json": "the reply was not JSON",
}


class ScriptedFailure(Exception):
    """A turn that fails. `kind` is the turn's `error`; `usage` what the attempt still cost."""

    def __init__(self, kind: str, usage: Tokens | None) -> None:
        self.kind, self.usage = kind, usage
        super().__init__(f"{kind}: {TOLD[kind]} (scripted)")


class ScriptOver(Exception):
    """More turns were asked for than the script has; `turn` counts from 1."""

    def __init__(self, turns: int, turn: int, *, role: Role) -> None:
        self.turns, self.turn = turns, turn
        kind = "" if role == "agent" else f"{role} "
        super().__init__(f"script has {turns} {kind}turn{'' if turns == 1 else 's'}, turn {turn} was asked for")


class ScriptedModel(BaseChatModel):
    """Plays a script. It keeps no position: the caller says which turn, so a restart changes nothing.

    Asked without `turn`, as any chat model is, it counts the model's replies in the messages.
    """

    script: Script

    @classmethod
    def from_file(cls, file: Path) -> ScriptedModel:
        """Read the script.

        Raises:
            BadSetting: the file can't be read or a field does not hold.
        """
        return cls(script=read_script(file))

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],  # noqa: ARG002 - turns name their tools
        *,
        tool_choice: str | None = None,  # noqa: ARG002 - the script has chosen
        **_options: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The script calls what it calls, offered or not: that is what it is for."""
        return self.bind()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - BaseChatModel's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **options: Any,
    ) -> ChatResult:
        number, turn = self._turn(messages, **options)
        time.sleep(turn.delay_s if turn else 0)
        return _result(self._reply(number, turn, messages))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - BaseChatModel's signature
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **options: Any,
    ) -> ChatResult:
        number, turn = self._turn(messages, **options)
        if turn and turn.delay_s:
            await asyncio.sleep(turn.delay_s)
        return _result(self._reply(number, turn, messages))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - BaseChatModel's signature
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **options: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        number, turn = self._turn(messages, **options)
        if turn and turn.delay_s:
            await asyncio.sleep(turn.delay_s)
        reply = self._reply(number, turn, messages)

        async def pieces() -> AsyncIterator[ChatGenerationChunk]:
            for chunk in chunks_of(reply):
                yield chunk

        async for chunk in marking_broken_arguments(pieces()):
            yield chunk

    def foretold(self, messages: Sequence[BaseMessage], **told: Any) -> Tokens:
        """What the reply will count as, a failing turn's included. A turn that is not there costs nothing."""
        try:
            number, turn = self._turn(messages, **told)
        except ScriptOver:
            return Tokens()
        if turn and turn.error in TOLD:
            return turn.usage or Tokens()
        usage = self._reply(number, turn, messages).usage_metadata
        assert usage is not None  # noqa: S101 - every reply has some
        return Tokens(input_tokens=usage["input_tokens"], output_tokens=usage["output_tokens"])

    def by_rule(self, messages: Sequence[BaseMessage], *, role: Role = "agent", **_told: Any) -> AIMessage | None:
        """The reply of a role that has a rule and no list."""
        rule = None if self._lists().get(role) else RULES.get(role)
        return rule(messages) if rule else None

    def _lists(self) -> dict[Role, Sequence[Turn]]:
        return {
            "agent": self.script.turns,
            "planner": self.script.planner,
            "summarizer": self.script.summarizer,
            "reader": self.script.reader,
            "extractor": self.script.extractor,
        }

    def _turn(
        self,
        messages: Sequence[BaseMessage],
        *,
        turn: int | None = None,
        role: Role = "agent",
        subtask: str = "",
        **_options: Any,
    ) -> tuple[int, Turn | None]:
        """The turn to play; None when the summarizer has no script and goes by a rule."""
        turns = self.script.subtasks.get(subtask, ()) if role == "subtask" else self._lists()[role]
        if role == "summarizer" and not turns:
            return 0, None
        if turn is None:
            turn = sum(isinstance(message, AIMessage) for message in messages)
        if role in REPEATED:
            turn = min(turn, len(turns) - 1)
        if turn >= len(turns):
            raise ScriptOver(len(turns), turn + 1, role=role)
        return turn, turns[turn]

    def _reply(self, number: int, turn: Turn | None, messages: Sequence[BaseMessage]) -> AIMessage:
        if turn is None:
            reply = AIMessage(digest(messages), response_metadata={"finish_reason": "stop"})
        elif turn.error in TOLD:
            raise ScriptedFailure(turn.error, turn.usage)
        else:
            reply = played(turn, number)
        if turn and turn.usage:
            into, out = turn.usage.input_tokens, turn.usage.output_tokens
            reply.usage_metadata = UsageMetadata(input_tokens=into, output_tokens=out, total_tokens=into + out)
        else:
            reply.usage_metadata = estimated_usage(messages, reply)
        return reply


def played(turn: Turn, number: int) -> AIMessage:
    """The reply of turn `number` (counted from 0): made-up call ids are the same at every replay."""
    if turn.error == "empty":
        return AIMessage("", response_metadata={"finish_reason": "stop"})
    if turn.error == "truncated":
        text = turn.content if turn.content is not None else "This reply was cut"
        return AIMessage(text, response_metadata={"finish_reason": "length"})
    calls = [
        tool_call(name=call.name, args=call.args, id=call.id or f"call_{number}_{position}")
        for position, call in enumerate(turn.tool_calls)
    ]
    invalid: list[InvalidToolCall] = []
    for position, raw in enumerate(turn.raw_tool_calls, start=len(calls)):
        call_id = raw.id or f"call_{number}_{position}"
        if (wrong := fault_of(raw.arguments)) is None:
            calls.append(_parsed(raw, call_id))
        else:
            invalid.append(invalid_tool_call(name=raw.name, args=raw.arguments, id=call_id, error=wrong))
    return AIMessage(
        turn.content or "",
        tool_calls=calls,
        invalid_tool_calls=invalid,
        response_metadata={"finish_reason": "tool_calls" if calls or invalid else "stop"},
    )


def _parsed(raw: RawCall, call_id: str) -> ToolCall:
    return tool_call(name=raw.name, args=json.loads(raw.arguments or "{}", strict=False), id=call_id)


def _result(reply: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=reply)])
