"""The model used when there is no key: rules, not a language model, and it says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.tool import tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from services.by_rule import RULES
from services.digest import digest
from services.offline_facts import as_facts
from services.offline_purchase import purchase, purchase_tasks
from services.offline_reading import Seen, Step, seen_in
from services.offline_requests import REQUESTS, calls_for, simple
from services.plan_reader import PLAN
from services.script_file import Tokens
from services.streamed import chunks_of, estimated_usage

UNKNOWN = (
    "I am Ballast's offline model: fixed rules, not a language model, and I don't know this request.\n"
    "I know these:\n{requests}\n"
    "For anything else set OPENAI_API_KEY (OPENAI_BASE_URL for another endpoint), or BALLAST_MODEL."
)

UNPLANNED = (
    "I am Ballast's offline model: fixed rules, not a language model, and I know no plan for this request. "
    "--graph react lists those I know; for anything else set OPENAI_API_KEY, or BALLAST_MODEL."
)

CANT_GO_ON = 50
"""Tokens of the reply that names tools that are not there."""


class OfflineModel(BaseChatModel):
    """Works through a small set of documented requests with real tools, from what the messages say alone."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,  # noqa: ARG002 - the rules choose
        **_options: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Only tools that are offered are called."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def with_structured_output(self, *_args: Any, **_options: Any) -> Any:
        """Rules can't fill a schema.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("the offline model is no language model: it can't fill a schema")

    def foretold(self, messages: Sequence[BaseMessage], **told: Any) -> Tokens:
        """What the reply will count as. Which tools are offered can only make it shorter or a sentence long."""
        usage = estimated_usage(messages, _said(_step(messages, str(told.get("role")))))
        return Tokens(input_tokens=usage["input_tokens"], output_tokens=max(usage["output_tokens"], CANT_GO_ON))

    def by_rule(self, messages: Sequence[BaseMessage], **told: Any) -> AIMessage | None:
        """What is read of requests and of texts."""
        rule = RULES.get(told.get("role", "agent"))
        return rule(messages) if rule else None

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - BaseChatModel's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **options: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=_reply(messages, **options))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - BaseChatModel's signature
        **options: Any,
    ) -> ChatResult:
        return self._generate(messages, stop, **options)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - BaseChatModel's signature
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **options: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in chunks_of(_reply(messages, **options)):
            yield chunk


def _reply(
    messages: Sequence[BaseMessage],
    *,
    role: str = "agent",
    tools: Sequence[dict[str, Any]] = (),
    **_options: Any,
) -> AIMessage:
    offered = {tool["function"]["name"] for tool in tools}
    step = _step(messages, role)
    if missing := sorted({name for name, _ in step.calls} - offered):
        step = Step(text=f"I can't go on: there is no tool {', '.join(missing)} here.")
    reply = _said(step)
    reply.usage_metadata = estimated_usage(messages, reply)
    return reply


def _step(messages: Sequence[BaseMessage], role: str) -> Step:
    match role:
        case "summarizer":
            return Step(text=digest(messages))
        case "planner":
            return _plan(seen_in(messages))
        case "subtask":  # results it may use stand behind its request
            return as_facts(_next(seen_in(messages, first=True)))
        case _:
            return _next(seen_in(messages))


def _said(step: Step) -> AIMessage:
    return AIMessage(
        step.text,
        tool_calls=[tool_call(name=name, args=args, id=f"call_{uuid4().hex[:12]}") for name, args in step.calls],
        response_metadata={"finish_reason": "tool_calls" if step.calls else "stop"},
    )


def _plan(seen: Seen) -> Step:
    """The plan of the request. Around what failed these rules know no way: nothing more is planned."""
    if seen.all:
        return Step(text="", calls=[(PLAN, {"tasks": []})])
    calls = calls_for(seen.request) or []
    tasks = purchase_tasks(seen.request) or [
        {"id": f"t{number}", "tool": tool, "args": args} for number, (tool, args) in enumerate(calls, start=1)
    ]
    return Step(text="", calls=[(PLAN, {"tasks": tasks})]) if tasks else Step(text=UNPLANNED)


def _next(seen: Seen) -> Step:
    """The next step of the request, or what the known requests are."""
    step = purchase(seen) or simple(seen)
    return step or Step(text=UNKNOWN.format(requests="\n".join(f"  {usage}" for usage in REQUESTS)))
