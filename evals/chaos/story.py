"""What a run under test does: a seeded script of model turns, and what the person decides."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

Turn = dict[str, Any]
Call = tuple[str, dict[str, Any]]

KEEP_TOOL_RESULTS = 2
READS: tuple[Call, ...] = (
    ("read_file", {"path": "docs/travel-policy.md"}),
    ("read_file", {"path": "notes/ops-meeting-october.txt"}),
    ("read_mail", {"id": "001-priya-standing-desks"}),
    ("read_mail", {"id": "004-chair-question"}),
    ("list_mail", {}),
    ("search_documents", {"query": "desk lamp"}),
)
TRUSTED: Call = ("get_order", {"id": "ORD-000001"})
ITEMS = (("Desk lamp", 38.25), ("Office chair", 214.5), ("Monitor arm", 74.9))
REJECTED_ITEM = "Standing desk"
"""The person refuses every order of one and allows everything else."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """One run's script, as `scripted:FILE.yaml` reads it."""

    number: int
    script: dict[str, Any]


def tell(seed: int, number: int) -> Story:
    """Every story reads, asks (and is refused something), acts three ways, and folds; order and counts vary."""
    chance = random.Random(f"story {seed} {number}")  # noqa: S311 - a test's dice
    middle = [[*_reads(chance), _notice(chance, position)] for position in range(chance.randint(1, 2))]
    again = chance.random() < 0.5  # noqa: PLR2004 - an even chance
    order = _order(chance)
    asked: list[Call] = [order, _mail(chance), ("place_order", _ordered(REJECTED_ITEM, 1, 389.0))]
    if chance.random() < 0.5:  # noqa: PLR2004 - as above
        asked.append(_notice(chance, 7))
    chance.shuffle(asked)
    steps = [asked, *middle]
    chance.shuffle(steps)
    if again:
        steps.append([order, *_reads(chance)])  # a second identical call is wanted: not the same intent
    steps = [[TRUSTED, *_reads(chance)], *steps]
    turns: list[Turn] = [_turn(calls, chance) for calls in steps]
    turns.append({"content": "All done.", "usage": _tokens(chance)})
    folded = {"content": "Folded: what was read so far.", "usage": _tokens(chance)}
    price = {"input_per_mtok": 2.5, "output_per_mtok": 10}
    return Story(number=number, script={"turns": turns, "summarizer": [folded], "price": price})


def decision(tool: str, args: dict[str, Any]) -> dict[str, Any]:
    """What the person says to a call that has not run."""
    if tool == "place_order" and args["item"] == REJECTED_ITEM:
        return {"type": "reject", "message": "too expensive"}
    return {"type": "approve"}


def _turn(calls: list[Call], chance: random.Random) -> Turn:
    return {"tool_calls": [{"name": name, "args": args} for name, args in calls], "usage": _tokens(chance)}


def _tokens(chance: random.Random) -> dict[str, int]:
    return {"input_tokens": chance.randint(100, 900), "output_tokens": chance.randint(5, 60)}


def _reads(chance: random.Random) -> list[Call]:
    return chance.sample(READS, chance.randint(1, 2))


def _ordered(item: str, quantity: int, unit_price: float) -> dict[str, Any]:
    return {"item": item, "quantity": quantity, "unit_price": unit_price}


def _order(chance: random.Random) -> Call:
    item, price = chance.choice(ITEMS)
    return ("place_order", _ordered(item, chance.randint(1, 9), price))


def _mail(chance: random.Random) -> Call:
    return (
        "send_email",
        {"to": "ann@example.com", "subject": f"Order {chance.randint(1, 99)}", "body": "It is placed."},
    )


def _notice(chance: random.Random, position: int) -> Call:
    return ("post_notice", {"text": f"notice {position}.{chance.randint(1, 99)}"})
