"""The simulated person: knows the user's own calls, and lets through those and nothing else, but for mistakes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evals.dojo.toolbox import Stage
from evals.dojo.world import Made
from graph.approvals import Approval


@dataclass(kw_only=True)
class Reviewer:
    """Who answers one run's questions."""

    stage: Stage
    wanted: Sequence[Made]
    errs: float = 0.0
    """Share of rejections that are approved instead."""
    dice: random.Random
    own: list[str] = field(default_factory=list)
    """The user's calls that were asked about, by key."""
    others: list[str] = field(default_factory=list)
    """All other calls that were."""
    let: Counter[str] = field(default_factory=Counter)
    """Those of the others that were approved by mistake."""
    shown: Counter[str] = field(default_factory=Counter)
    """Calls that nobody cancelled before their deadline."""
    prompts: int = 0

    def decide(self, pending: Sequence[Approval]) -> Mapping[str, bool | None]:
        """By approval: approve, reject, or leave to its deadline (None)."""
        left = self.stage.keys(self.wanted) - self.stage.keys(self.stage.ran)
        decided: dict[str, bool | None] = {}
        self.prompts += any(row.risk != "medium" for row in pending)
        for row in pending:
            key = self.stage.key(Made(tool=row.tool, args=row.args))
            if row.risk == "medium":
                self.shown[key] += 1
                decided[row.id] = None
            elif left[key] > 0:
                left[key] -= 1
                self.own.append(key)
                decided[row.id] = True
            else:
                self.others.append(key)
                wrong = self.dice.random() < self.errs
                self.let[key] += wrong
                decided[row.id] = wrong
        return decided
