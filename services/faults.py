"""How a failed model call is told: one line, no secret in it."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from langchain_core.messages import AIMessage, UsageMetadata

from services.refusals import NeverStarted
from services.scripted import ScriptedFailure
from services.tokens import told

LINE_CHARS = 300

TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
"""Of those below 500. A 429 for an exhausted quota is not: no pause ends it."""

HTTP_CLIENTS = frozenset({"httpx", "httpx2"})
"""The same errors under two names: openai's client speaks through the second."""
NOT_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})

_REFUSED_SCRIPTED = frozenset({"rate_limit", "server_error"})

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
        raise CutStream(message.usage_metadata if told(message.usage_metadata) else None)
    return message


def usage_of(error: Exception) -> UsageMetadata | None:
    """The tokens a failed call still cost; None when the error does not know."""
    if isinstance(error, CutStream):
        return error.usage
    if isinstance(error, ScriptedFailure) and error.usage:
        into, out = error.usage.input_tokens, error.usage.output_tokens
        return UsageMetadata(input_tokens=into, output_tokens=out, total_tokens=into + out)
    return None


def failure_line(member: str, error: Exception, *, secrets: Iterable[str]) -> str:
    """`member: what went wrong`, cut to LINE_CHARS, keys blanked."""
    told = " ".join(str(error).split()) or type(error).__name__
    kind = "" if type(error).__module__.startswith("services.") else f"{type(error).__name__}: "
    line = f"{member}: {kind if kind.rstrip(': ') != told else ''}{told}"
    for secret in secrets:
        line = line.replace(secret, "***")
    return _KEY_LIKE.sub("***", line)[:LINE_CHARS]


def transient(error: Exception) -> bool | float:
    """Whether the same call may succeed later: no, yes, or yes after so many seconds (its Retry-After)."""
    if isinstance(error, NeverStarted):
        return False
    if (status := _status(error)) is not None:
        headers = _headers(error)
        if headers.get("x-should-retry") == "false" or getattr(error, "code", None) == "insufficient_quota":
            return False
        return (status >= 500 or status in TRANSIENT_STATUS) and retry_after_s(headers)  # noqa: PLR2004 - HTTP's own
    if isinstance(error, (CutStream, ScriptedFailure, TimeoutError, json.JSONDecodeError)):
        return True
    return _is_http(error, {"TransportError"}) or _is_openai(error, "APIConnectionError")


def started(error: Exception) -> bool:
    """Whether the provider may have worked on the call, and may charge for it. In doubt, yes."""
    if isinstance(error, NeverStarted) or _status(error) is not None:
        return False
    if isinstance(error, ScriptedFailure):
        return error.kind not in _REFUSED_SCRIPTED
    return not (_is_http(error, NOT_SENT) or (_is_openai(error, "APIConnectionError") and _unsent(error)))


def _unsent(error: BaseException) -> bool:
    """Whether a failure to send is what is behind it; langchain-openai and openai each wrap it once more."""
    cause = error.__cause__
    return cause is not None and (_is_http(cause, NOT_SENT) or _unsent(cause))


def _is_openai(error: Exception, kind: str) -> bool:
    """Without importing it, which takes a second: an error of a module never loaded is none of its errors."""
    openai = sys.modules.get("openai")
    return openai is not None and isinstance(error, getattr(openai, kind))


def _is_http(error: BaseException, kinds: Collection[str]) -> bool:
    return any(
        kind.__name__ in kinds and kind.__module__.partition(".")[0] in HTTP_CLIENTS for kind in type(error).__mro__
    )


def _status(error: Exception) -> int | None:
    """The HTTP status the provider refused with."""
    if not (_is_openai(error, "APIStatusError") or _is_http(error, {"HTTPStatusError"})):
        return None
    response: Any = getattr(error, "response", None)
    return int(response.status_code)


def _headers(error: Any) -> Mapping[str, str]:
    headers: Mapping[str, str] = error.response.headers
    return headers


def retry_after_s(headers: Mapping[str, str]) -> bool | float:
    """Seconds, from `retry-after-ms` or Retry-After (RFC 9110, 10.2.3); True when neither says so."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    when = _date(headers.get("retry-after"))
    if when is None:
        return True
    # By the provider's own clock where it tells it: ours may differ.
    now = _date(headers.get("date")) or datetime.now(UTC)
    return max(0.0, (when - now).total_seconds())


def _date(text: str | None) -> datetime | None:
    try:
        when = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
