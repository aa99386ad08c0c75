"""What Ballast itself says in a conversation: people read it, the model does not."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage

from graph.state import Call

PREFIX = "notice-"
"""How the ids of notices begin."""


def waiting(calls: Sequence[Call], message: BaseMessage) -> AIMessage:
    """To whoever wrote `message` while these calls wait for a person.

    Chat pages show a question below the agent's last word, and none below a person's.
    """
    names = ", ".join(call["name"] for call in calls)
    text = f"Waiting for a decision: {names}. Your message is read once that is made."
    return AIMessage(text, id=f"{PREFIX}{message.id}")


def is_notice(message: BaseMessage) -> bool:
    """Whether it is one of these."""
    return isinstance(message, AIMessage) and (message.id or "").startswith(PREFIX)
