"""A call as a person reads it: a mail looks like a mail, a payment like a payment. No argument is left out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

Form = Literal["line", "text", "code"]
"""How a value is set: one line, several lines as they are, JSON."""

TITLE_CHARS = 110
ONE_LINE = 160
CURRENCY = "USD"
IBAN_GROUP = 4


@dataclass(frozen=True, kw_only=True)
class Part:
    """One argument."""

    name: str
    label: str
    text: str
    form: Form = "line"
    role: str = ""
    """What the page's layout does with it: `body`, `amount`, `account`; empty for an ordinary line."""


@dataclass(frozen=True, kw_only=True)
class Readable:
    """A call, ready to be laid out. Texts are as they came: the template escapes them and spells out what hides."""

    kind: Literal["mail", "payment", "order", "other"]
    title: str
    parts: tuple[Part, ...]
    sum: str = ""
    """What the arguments come to, where none of them says so."""


def readable(tool: str, args: Mapping[str, Any]) -> Readable:
    """Lay out a call; one whose arguments do not look like its tool's becomes a labelled list."""
    known = _LAYOUTS.get(tool)
    laid_out = known(args) if known else None
    if laid_out is None:
        return Readable(kind="other", title=_title(tool, args), parts=_rest(args))
    shown = {part.name for part in laid_out.parts}
    rest = _rest({name: value for name, value in args.items() if name not in shown})
    return Readable(
        kind=laid_out.kind, title=_short(laid_out.title), parts=(*laid_out.parts, *rest), sum=laid_out.sum
    )


def words(name: str) -> str:
    """A tool's or an argument's name as words."""
    return " ".join(name.replace("_", " ").split()).capitalize() or name


def _mail(args: Mapping[str, Any]) -> Readable | None:
    to, subject, body = args.get("to"), args.get("subject"), args.get("body")
    addresses = [to] if isinstance(to, str) else to
    if not (isinstance(addresses, list) and all(isinstance(one, str) for one in addresses)):
        return None
    if not (isinstance(subject, str) and isinstance(body, str)):
        return None
    many = len(addresses) > 1
    return Readable(
        kind="mail",
        title=f"Mail to {f'{len(addresses)} people' if many else ', '.join(addresses)}: {subject}",
        parts=(
            Part(name="to", label=f"To ({len(addresses)})" if many else "To", text="\n".join(addresses), form="text"),
            Part(name="subject", label="Subject", text=subject),
            Part(name="body", label="Text", text=body, form="text", role="body"),
        ),
    )


def _payment(args: Mapping[str, Any]) -> Readable | None:
    payee, iban, reference = args.get("payee"), args.get("iban"), args.get("reference")
    amount = _money(args.get("amount"))
    if not (isinstance(payee, str) and isinstance(iban, str) and isinstance(reference, str) and amount):
        return None
    return Readable(
        kind="payment",
        title=f"Pay {amount} to {payee}",
        parts=(
            Part(name="amount", label="Amount", text=amount, role="amount"),
            Part(name="payee", label="Payee", text=payee),
            Part(name="iban", label="IBAN", text=_in_groups(iban), role="account"),
            Part(name="reference", label="Reference", text=reference),
        ),
    )


def _order(args: Mapping[str, Any]) -> Readable | None:
    item, quantity, price = args.get("item"), args.get("quantity"), args.get("unit_price")
    each = _money(price)
    if not (isinstance(item, str) and isinstance(quantity, int) and not isinstance(quantity, bool) and each):
        return None
    total = _money(float(Decimal(str(price)) * quantity)) or ""
    return Readable(
        kind="order",
        title=f"Order {quantity} × {item} for {total}",
        parts=(
            Part(name="item", label="Item", text=item),
            Part(name="quantity", label="Quantity", text=str(quantity)),
            Part(name="unit_price", label="Price of one", text=each),
        ),
        sum=total,
    )


_LAYOUTS: dict[str, Callable[[Mapping[str, Any]], Readable | None]] = {
    "send_email": _mail,
    "send_bulk_email": _mail,
    "pay_invoice": _payment,
    "place_order": _order,
}


def _rest(args: Mapping[str, Any]) -> tuple[Part, ...]:
    return tuple(_part(name, value) for name, value in args.items())


def _part(name: str, value: Any) -> Part:
    if isinstance(value, list) and value and all(isinstance(one, str) and "\n" not in one for one in value):
        return Part(name=name, label=f"{words(name)} ({len(value)})", text="\n".join(value), form="text")
    if isinstance(value, (dict, list)):
        return Part(name=name, label=words(name), text=as_json(value), form="code")
    if isinstance(value, str):
        long = "\n" in value or len(value) > ONE_LINE
        return Part(name=name, label=words(name), text=value, form="text" if long else "line")
    return Part(name=name, label=words(name), text=json.dumps(value))


def as_json(value: Any) -> str:
    """A nested value as people read and edit it."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _title(tool: str, args: Mapping[str, Any]) -> str:
    said = next((str(value) for value in args.values() if isinstance(value, (str, int, float)) and value != ""), "")
    return _short(f"{words(tool)}: {said}" if said else words(tool))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARS else f"{line[: TITLE_CHARS - 1]}…"


def _money(value: Any) -> str | None:
    """With cents; a value that cents can't hold is shown as it is, not rounded. None for what is no amount."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    exact = Decimal(str(value))
    return f"{exact:,.2f} {CURRENCY}" if exact == round(exact, 2) else f"{exact:,} {CURRENCY}"


def _in_groups(iban: str) -> str:
    """Groups of four, as on paper. Only spaces are left out: whatever else is in it stays to be seen."""
    plain = iban.replace(" ", "")
    return " ".join(plain[at : at + IBAN_GROUP] for at in range(0, len(plain), IBAN_GROUP))
