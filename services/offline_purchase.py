"""The offline model's long request: a purchase somebody asked for by mail, from the mail to the confirmation.

Every value comes out of a tool's output. Each step needs the results of the step before it and no older
ones, so that it does not matter when those are folded into a summary.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from itertools import takewhile
from typing import Any

from graph.plan import SUBTASK
from services.offline_facts import is_facts
from services.offline_reading import Result, Seen, Step

_ASKED = re.compile(
    r"(?P<who>[\w'-]+) asked by e?-?mail for (?:new |some |an? )*(?P<item>[^:]+?)\s*:(?P<todo>.*)",
    re.IGNORECASE | re.DOTALL,
)
_LIMIT = re.compile(r"^\W*up to ([\d,]+(?:\.\d+)?)", re.IGNORECASE)
_ABOVE = re.compile(r"^\W*above [\d,]", re.IGNORECASE)
_HEADER = re.compile(r"(?:From|To|Subject|Date|Attachment):")

LISTED = 3
"""Parts a line of `list_mail` has at least: id, sender, subject."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the request says."""

    who: str
    item: str
    """As the catalogue would name it: singular, lower case."""
    todo: str


def purchase(seen: Seen) -> Step | None:
    """The next step; None when the request is another one."""
    found = _ASKED.match(seen.request)
    if not found:
        return None
    asked = Asked(who=found["who"], item=_singular(found["item"]), todo=found["todo"].lower())
    if any(result.tool == SUBTASK for result in seen.all):
        return Step(text=_account(seen.all))
    if not seen.last:
        return _look(found["item"].strip())
    if seen.of("list_mail"):
        return _stopped(seen) or _read(asked, seen)
    if seen.of("read_mail"):
        return _stopped(seen) or _act(asked, seen)
    return Step(text=_account(seen.last))


def purchase_tasks(request: str) -> list[dict[str, Any]] | None:
    """The same as a plan: a sub-task finds out what the calls need; None when the request is another one."""
    found = _ASKED.match(request)
    if not found:
        return None
    todo = found["todo"].lower()
    find = {"task": request, "max_iterations": 5, "max_tool_calls": 10}
    tasks: list[dict[str, Any]] = [{"id": "facts", "tool": SUBTASK, "args": find}]
    if "order" in todo:
        tasks.append(_task("order", "place_order", "item", "quantity", "unit_price"))
    if "mail" in todo or "confirm" in todo:
        # What it confirms comes first.
        tasks.append({**_task("mail", "send_email", "to", "subject", "body"), "needs": [t["id"] for t in tasks[1:]]})
    if "delete" in todo:
        tasks.append(_task("delete", "delete_records", "table", "ids"))
    return tasks


def _task(name: str, tool: str, *args: str) -> dict[str, Any]:
    return {"id": name, "tool": tool, "args": {arg: f"$facts.{tool}.{arg}" for arg in args}}


def _look(item: str) -> Step:
    return Step(
        text="I look for the request, the documents and where the item is mentioned.",
        calls=[("list_mail", {}), ("list_files", {}), ("search_documents", {"query": item})],
    )


def _read(asked: Asked, seen: Seen) -> Step:
    mails = [line.split(" | ") for line in seen.of("list_mail")[0].data.splitlines()]
    words = asked.item.split()
    wanted = [
        mail_id
        for mail_id, sender, *subject in (mail for mail in mails if len(mail) >= LISTED)
        if asked.who.lower() in sender.lower() and any(word in subject[0].lower() for word in words)
    ]
    if not wanted:
        return Step(text=f"I found no mail from {asked.who} about a {asked.item}. Nothing was ordered or sent.")
    paths = [line.strip() for line in seen.of("list_files")[0].data.splitlines()]
    files = [next((p for p in paths if word in p.lower()), None) for word in ("catalogue", "policy", "supplier")]
    files[1] = next((p for p in paths if "purchasing" in p.lower()), files[1])
    needed = [path for path in files if path]
    return Step(
        text=f"I read {asked.who}'s mail and the documents it depends on.",
        calls=[("read_mail", {"id": wanted[0].strip()}), *(("read_file", {"path": p}) for p in needed)],
    )


def _parted(mail: str) -> tuple[str, str]:
    """(headers, body). An extract has no empty line between them."""
    lines = mail.splitlines()
    headers = sum(1 for _ in takewhile(_HEADER.match, lines))
    return "\n".join(lines[:headers]), "\n".join(lines[headers:])


def _act(asked: Asked, seen: Seen) -> Step:
    """The order, the confirmation and the deletion in one reply, as far as each was asked for."""
    head, body = _parted(seen.of("read_mail")[0].data)
    sender = next((line for line in head.splitlines() if line.lower().startswith("from:")), "From:")
    name, address = parseaddr(sender.partition(":")[2].strip())
    row = next((row for row in _rows(seen, "catalogue") if row.get("item", "").lower() == asked.item), None)
    quantity = re.search(rf"\b(\d{{1,6}})\s+(?:new\s+)?{re.escape(asked.item)}s?\b", body, re.IGNORECASE)
    if not address:
        return Step(text=f"I could not read the mail. Nothing was ordered or sent. It says:\n{head}")
    if row is None:
        return Step(text=f"The catalogue has no {asked.item}. Nothing was ordered or sent.")
    if quantity is None:
        return Step(text=f"The mail does not say how many of {row['item']} are wanted. Nothing was ordered.")
    pieces, price, currency = int(quantity[1]), float(row["unit_price"]), row["currency"]
    total = f"{pieces * price:.2f} {currency}"
    limit, rule = _policy(seen, pieces * price)
    if pieces * price > limit:
        return Step(text=f"{pieces} x {row['item']} cost {total}. The policy says: {rule}. Nothing was ordered.")
    step = Step(text=f"{pieces} x {row['item']} cost {total}. The policy says: {rule}.")
    if "order" in asked.todo:
        step.calls.append(
            ("place_order", {"item": row["item"], "quantity": pieces, "unit_price": price}),
        )
    if "mail" in asked.todo or "confirm" in asked.todo:
        text = (
            f"Hello {name.split()[0] if name else asked.who},\n\n"
            f"this confirms your request: {pieces} x {row['item']} at {price:.2f} {currency}, "
            f"{total} in total.\n"
            f"Delivery takes {row['delivery_days']} days once the order is approved and placed.\n\n"
            "Operations\n"
        )
        subject = f"Your request: {pieces} x {row['item']}"
        step.calls.append(("send_email", {"to": address, "subject": subject, "body": text}))
    retired = [row["id"] for row in _rows(seen, "supplier") if row.get("status") == "retired"]
    if "delete" in asked.todo and retired:
        step.calls.append(("delete_records", {"table": "suppliers", "ids": retired}))
    return step


def _rows(seen: Seen, name: str) -> list[dict[str, str]]:
    files = [result for result in seen.of("read_file") if name in str(result.args["path"]).lower()]
    return list(csv.DictReader(io.StringIO(files[0].data))) if files else []


def _policy(seen: Seen, total: float) -> tuple[float, str]:
    """The most that may be ordered, and the rule that applies to this total."""
    text = "\n".join(r.data for r in seen.of("read_file") if "policy" in str(r.args["path"]).lower())
    lines = [line.strip(" -.") for line in text.splitlines()]
    limits = sorted((float(f[1].replace(",", "")), line) for line in lines if (f := _LIMIT.match(line)))
    for limit, line in limits:
        if total <= limit:
            return limit, line
    above = [line for line in lines if _ABOVE.match(line)]
    return 0.0, above[0] if above else "nothing that allows this amount"


def _account(results: Sequence[Result]) -> str:
    """What was done, what was not, and why, in the results' own words."""
    told = [result for result in results if result.tool != SUBTASK or result.failed or not is_facts(result.data)]
    lines = [f"- {_named(result)}{_came_of(result)}" for result in told]
    return "This is what came of it:\n" + "\n".join(lines)


def _named(result: Result) -> str:
    return "" if result.tool == SUBTASK else f"{result.tool}{_about(result)}: "


def _about(result: Result) -> str:
    args = result.args
    about = {
        "place_order": f" ({args.get('quantity')} x {args.get('item')})",
        "send_email": f" ({args.get('to')})",
        "delete_records": f" ({args.get('table')} {', '.join(map(str, args.get('ids', [])))})",
    }
    return about.get(result.tool, "")


def _came_of(result: Result) -> str:
    text = " ".join(result.text.split())
    return f"not done. {text}" if result.failed else text


def _stopped(seen: Seen) -> Step | None:
    """The end, when something that was to be read could not be read."""
    failed = [result for result in seen.last if result.failed and result.tool != "search_documents"]
    if not failed:
        return None
    told = "\n".join(f"- {result.tool}: {result.text}" for result in failed)
    return Step(text=f"I stopped before ordering or sending anything, because I could not read all I need:\n{told}")


def _singular(words: str) -> str:
    plain = " ".join(words.lower().split())
    return plain.removesuffix("s") if not plain.endswith("ss") else plain
