"""A call as a person reads it: a mail looks like a mail, a payment like a payment. No argument is left out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Literal

Form = Literal["line", "text", "code"]
"""How a value is set: one line, several lines as they are, JSON."""

TITLE_CHARS = 110
ONE_LINE = 160
CURRENCY = "USD"
CENT = Decimal("0.01")
EXACT = Context(prec=5_000)
"""No product of two numbers of a call is rounded."""
INITIALS = frozenset({"id", "iban", "url", "bic", "vat"})
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
    return Readable(kind=laid_out.kind, title=_short(laid_out.title), parts=(*laid_out.parts, *rest), sum=laid_out.sum)


def words(name: str) -> str:
    """A tool's or an argument's name as words."""
    plain = " ".join(name.replace("_", " ").split())
    return plain.upper() if plain.lower() in INITIALS else plain[:1].upper() + plain[1:] or name


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
    exact = _decimal(args.get("amount"))
    if not (isinstance(payee, str) and isinstance(iban, str) and isinstance(reference, str)) or exact is None:
        return None
    amount = _money(exact)
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
    item, quantity, price = args.get("item"), _decimal(args.get("quantity")), _decimal(args.get("unit_price"))
    if not isinstance(item, str) or quantity is None or price is None:
        return None
    total = _money(EXACT.multiply(price, quantity))
    return Readable(
        kind="order",
        title=f"Order {quantity:,} x {item} for {total}",
        parts=(
            Part(name="item", label="Item", text=item),
            Part(name="quantity", label="Quantity", text=f"{quantity:,}"),
            Part(name="unit_price", label="Price of one", text=_money(price)),
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
    said = next((value for value in args.values() if isinstance(value, str) and value), "")
    return _short(f"{words(tool)}: {said}" if said else words(tool))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARS else f"{line[: TITLE_CHARS - 1]}…"


def _decimal(value: Any) -> Decimal | None:
    """A number exactly as it stands in the arguments; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return Decimal(str(value))


def _money(amount: Decimal) -> str:
    """With cents; an amount that cents can't hold is shown as it is, not rounded."""
    cents = amount == amount.quantize(CENT, context=EXACT)
    return f"{amount:,.2f} {CURRENCY}" if cents else f"{amount:,} {CURRENCY}"


def _in_groups(iban: str) -> str:
    """Groups of four, as on paper. Only spaces are left out: whatever else is in it stays to be seen."""
    plain = iban.replace(" ", "")
    return " ".join(plain[at : at + IBAN_GROUP] for at in range(0, len(plain), IBAN_GROUP))
