"""Replies as a provider gives them: each with ids of its own."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call

from evals.dojo.world import Made


def said(text: str) -> AIMessage:
    """A reply in words."""
    return AIMessage(text, id=uuid4().hex, response_metadata={"finish_reason": "stop"})


def calling(calls: Sequence[Made]) -> AIMessage:
    """A reply that makes calls."""
    made = [tool_call(name=one.tool, args=dict(one.args), id=f"call_{uuid4().hex}") for one in calls]
    return AIMessage("", id=uuid4().hex, tool_calls=made, response_metadata={"finish_reason": "tool_calls"})
