"""The heuristic detector as a guard: it reports what looks like orders anyway, and here it stops it."""

from __future__ import annotations

import asyncio

from graph.budget import Budget
from graph.guards import Allowed, Denied, Seen, Verdict
from services.cleaning import suspicious


class Detector:
    """Denies text that looks like instructions to an agent. It knows some phrases; a paraphrase passes."""

    async def check(self, seen: Seen, *, budget: Budget) -> Verdict:  # noqa: ARG002 - it costs nothing
        """See `graph.guards.Guard.check`."""
        rules = await asyncio.to_thread(_rules, seen.raw or seen.text, seen.text)
        return Denied(f"looks like hidden instructions ({', '.join(rules)})") if rules else Allowed()


def _rules(raw: str, text: str) -> list[str]:
    return sorted({rule for rule, _ in suspicious(raw, text)})
