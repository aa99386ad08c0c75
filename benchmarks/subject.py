"""What both agents are given: one model that asks for one lookup after another, and the lookup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult


class LookupModel(BaseChatModel):
    """Asks for `iterations` lookups, one a reply, then is done."""

    iterations: int

    @property
    def _llm_type(self) -> str:
        return "lookup"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> LookupModel:  # noqa: ARG002
        """The model knows its one tool."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - LangChain's shape
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's shape
        **_: Any,
    ) -> ChatResult:
        done = sum(message.type == "tool" for message in messages)
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        if done >= self.iterations:
            reply = AIMessage("done", id=uuid4().hex, usage_metadata=usage)
        else:
            call = {"name": "lookup", "args": {"q": f"q{done}"}, "id": f"c{done}"}
            reply = AIMessage("", id=uuid4().hex, tool_calls=[call], usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=reply)])


async def lookup(q: str) -> str:
    """Look something up.

    Args:
        q: What to look up.
    """
    return f"result for {q} " * 75


async def letter(q: str) -> str:
    """Read 10 KB of prose with markup, as in a mail.

    Args:
        q: Which.
    """
    return f"<p>Letter {q}:</p>" + "<p>The shift went on <b>without</b> anything to report, see room 14.</p>\n" * 142
