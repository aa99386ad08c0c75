"""How a failed model call is told: one line, no secret in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from langchain_core.messages import AIMessage, UsageMetadata

from services.scripted import ScriptedFailure

LINE_CHARS = 300

NEVER_BEGUN = ("ConnectError", "ConnectTimeout", "PoolTimeout")
"""Errors of httpx that say no request went out; by name, for it is slow to import."""

_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk|key|gsk|xai)-[\w\-*.]{6,}|(?<=Bearer )\S+|(?<=://)[^/@\s]+@")
"""Keys by their usual prefixes, bearer tokens, and a user and password in an address."""


class CutStream(Exception):
    """The reply ended before the provider said that it was whole."""

    def __init__(self, usage: UsageMetadata | None) -> None:
        self.usage = usage
        super().__init__("the reply broke off before its end")


def whole(message: AIMessage) -> AIMessage:
    """The message, if the provider said why it ended.

    Raises:
        CutStream: it did not: the connection closed early.
    """
    if not {"finish_reason", "status"} & message.response_metadata.keys():
        raise CutStream(message.usage_metadata)
    return message


def usage_of(error: Exception) -> UsageMetadata | None:
    """The tokens a failed call still cost; None when the error does not know."""
    if isinstance(error, CutStream):
        return error.usage
    if isinstance(error, ScriptedFailure) and error.usage:
        into, out = error.usage.input_tokens, error.usage.output_tokens
        return UsageMetadata(input_tokens=into, output_tokens=out, total_tokens=into + out)
    return None


def may_be_charged(error: BaseException) -> bool:
    """Whether the provider may have made a reply: all but an answer that says it did not, or no connection."""
    if getattr(error, "status_code", None) is not None or type(error).__name__ in NEVER_BEGUN:
        return False
    return error.__cause__ is None or may_be_charged(error.__cause__)


def failure_line(member: str, error: Exception, *, secrets: Iterable[str]) -> str:
    """`member: what went wrong`, cut to LINE_CHARS, keys blanked."""
    told = " ".join(str(error).split()) or type(error).__name__
    kind = "" if type(error).__module__.startswith("services.") else f"{type(error).__name__}: "
    line = f"{member}: {kind if kind.rstrip(': ') != told else ''}{told}"
    for secret in secrets:
        line = line.replace(secret, "***")
    return _KEY_LIKE.sub("***", line)[:LINE_CHARS]
