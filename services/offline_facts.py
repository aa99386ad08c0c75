"""How the offline model, as a sub-task, hands on the calls it would make: each is what a later task refers to."""

from __future__ import annotations

import json

from services.offline_reading import Step

EFFECTS = frozenset({"place_order", "send_email", "delete_records", "write_file"})


def as_facts(step: Step) -> Step:
    """The step without its effects, which are no sub-task's: their arguments are its answer, as JSON by tool."""
    effects = {name: args for name, args in step.calls if name in EFFECTS}
    return Step(text=json.dumps({"why": step.text, **effects}, ensure_ascii=False)) if effects else step


def is_facts(text: str) -> bool:
    """Whether a sub-task's answer is such a list, for other tasks and not for people."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
