"""NeMo Guardrails (the extra `nemo`): a folder with its own configuration. Imported only where one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nemoguardrails import LLMRails, RailsConfig
from nemoguardrails.rails.llm.options import RailStatus, RailType

from graph.budget import Budget
from graph.guards import Allowed, Denied, Redacted, Seen, Verdict


class Nemo:
    """Runs the folder's input rails on requests and content, its output rails on answers and arguments.

    Its models are those of the folder: what they cost is not known here, and not charged.
    """

    def __init__(self, folder: Path) -> None:
        self._rails: Any = LLMRails(RailsConfig.from_path(str(folder)))

    async def check(self, seen: Seen, *, budget: Budget) -> Verdict:  # noqa: ARG002 - see the class
        """See `graph.guards.Guard.check`.

        Raises:
            Exception: whatever NeMo raises, also when the folder has no rails for the stage.
        """
        ours = seen.said_by_us
        user = {"role": "user", "content": seen.request or "-" if ours else seen.text}
        messages = [user, {"role": "assistant", "content": seen.text}] if ours else [user]
        result = await self._rails.check_async(messages, rail_types=[RailType.OUTPUT if ours else RailType.INPUT])
        match result.status:
            case RailStatus.PASSED:
                return Allowed()
            case RailStatus.MODIFIED:
                return Redacted(result.content, "what a rail rewrote")
            case _:
                return Denied(f"blocked by the rail {result.rail or 'of the folder'}")
