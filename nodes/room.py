"""How much of a model's window a history may take, and what each part of it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graph.context import FOLD_SHARE, KEEP_TOOL_RESULTS
from services.windows import window_of

MARGIN_TOKENS = 300
"""Left for what is said beside the history: how many replies remain, what was wrong with the last one."""

TOOLS_TOKENS = 3_000
"""Set aside in our own count for the tools a prompt offers, which no state knows; a third of a small window."""

LEAST_TOKENS = 900
"""Of a prompt, whatever share of whatever window: below it nothing could be told at all."""

LEAST_RESULT_TOKENS = 200
"""Of one result, however many came at once."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the settings of a thread come to."""

    window: int
    """Tokens the model reads."""
    whole: int
    """Most tokens of a prompt, its tools included."""
    tokens: int
    """Most tokens of its messages."""
    keep: int
    """Most results that stay whole when the history is folded."""
    by_count: bool
    """Whether more than `keep` results are folded however short they are."""

    @property
    def kept_tokens(self) -> int:
        """Of the results that stay whole, and their calls. The newest step stays whatever it takes."""
        return self.tokens // 2

    @property
    def remembered_tokens(self) -> int:
        """Of what is told of the folded part. The rest is for instructions, tools and the people's own words."""
        return self.tokens // 4

    def result_tokens(self, at_once: int) -> int:
        """Of one result of a step that brings so many."""
        return max(LEAST_RESULT_TOKENS, min(self.tokens // 5, self.kept_tokens // max(at_once, 1)))


def room_of(settings: Mapping[str, Any]) -> Room:
    """By a thread's settings; one from before a setting was there has its default."""
    keep = settings.get("keep_tool_results")
    window = settings.get("window_tokens") or window_of(settings.get("model") or "offline")
    share = settings.get("fold_share") or FOLD_SHARE
    whole = max(int(window * share) - MARGIN_TOKENS, LEAST_TOKENS)
    return Room(
        window=window,
        whole=whole,
        tokens=whole - min(TOOLS_TOKENS, whole // 3),
        keep=keep or KEEP_TOOL_RESULTS,
        by_count=keep is not None,
    )
