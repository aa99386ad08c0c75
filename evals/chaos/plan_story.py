"""What a run of the `plan` graph does under test: one seeded plan, its sub-task, and the answer."""

from __future__ import annotations

import random
from typing import Any

from evals.chaos.story import ITEMS, READS, REJECTED_ITEM, Story

Task = dict[str, Any]


def tell(seed: int, number: int) -> Story:
    """Every plan reads, asks (and is refused something), acts three ways and twice the same; shape and order vary.

    What an effect in doubt gave is told in other words afterwards: no task refers to a notice or a mail, some need one.
    """
    chance = random.Random(f"plan story {seed} {number}")  # noqa: S311 - a test's dice
    item, price = chance.choice(ITEMS)
    ordered = {"item": item, "quantity": chance.randint(1, 9), "unit_price": price}
    notice = {"text": f"notice {chance.randint(1, 99)}"}
    tasks = [
        _task("known", "get_order", id="ORD-000001"),
        *(_task(f"read{k}", tool, **args) for k, (tool, args) in enumerate(chance.sample(READS, chance.randint(1, 4)))),
        _task("order", "place_order", **ordered),
        _task("refused", "place_order", item=REJECTED_ITEM, quantity=1, unit_price=389.0),
        _task("never", "post_notice", "refused", text="the desk was ordered"),
        _task("note", "post_notice", **notice),
        _task("same", "post_notice", *chance.choice([[], ["note"], ["known"]]), **notice),
        _task("found", "react", *chance.choice([[], ["read0"]]), task="What does a desk lamp cost?", max_tool_calls=2),
        _task("mail", "send_email", *chance.choice([[], ["same"], ["order"]]), **_mail(chance)),
        _task("placed", "post_notice", text="placed: ${order}"),
        _task("last", "read_mail", "mail", id="001-priya-standing-desks"),
    ]
    if again := chance.random() < 0.5:  # noqa: PLR2004 - an even chance
        tasks.append(_task("order2", "place_order", *chance.choice([[], ["order"], ["found"]]), **ordered))
    before: list[list[str]] = [[], ["mail"], ["order2" if again else "order"]]
    tasks += [
        _task(f"n{k}", "post_notice", *chance.choice(before), text=f"extra {k}") for k in range(chance.randint(0, 3))
    ]
    chance.shuffle(tasks)
    look = {"name": "search_documents", "args": {"query": "desk lamp"}}
    script = {
        "planner": [{"tool_calls": [{"name": "plan", "args": {"tasks": tasks}}], "usage": _tokens(chance)}],
        "subtasks": {
            "found": [
                {"tool_calls": [look], "usage": _tokens(chance)},
                {"content": "38.25", "usage": _tokens(chance)},
            ]
        },
        "summarizer": [{"content": "Folded: what was read so far.", "usage": _tokens(chance)}],
        "turns": [{"content": "All done.", "usage": _tokens(chance)}],
        "price": {"input_per_mtok": 2.5, "output_per_mtok": 10},
    }
    return Story(number=number, script=script)


def _task(name: str, tool: str, *needs: str, **args: Any) -> Task:
    return {"id": name, "tool": tool, "args": args, "needs": list(needs)}


def _tokens(chance: random.Random) -> dict[str, int]:
    return {"input_tokens": chance.randint(100, 900), "output_tokens": chance.randint(5, 60)}


def _mail(chance: random.Random) -> dict[str, Any]:
    return {"to": "ann@example.com", "subject": f"Order {chance.randint(1, 99)}", "body": "See ${order}"}
