from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pages.readable import readable, words

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["to", "subject", "body", "payee", "iban", "amount", "reference", "item", "quantity", "unit_price"]
)
TOOLS = st.sampled_from(["send_email", "send_bulk_email", "pay_invoice", "place_order", "other", ""])


def _lines(tool: str, args: dict[str, Any]) -> dict[str, str]:
    return {part.label: part.text for part in readable(tool, args).parts}


def test_a_mail_has_its_parts_and_names_the_recipient() -> None:
    mail = readable("send_email", {"to": "ann@example.com", "subject": "Hi", "body": "Hello\nAnn"})

    assert (mail.kind, mail.title) == ("mail", "Mail to ann@example.com: Hi")
    assert [(part.label, part.text, part.role) for part in mail.parts] == [
        ("To", "ann@example.com", ""),
        ("Subject", "Hi", ""),
        ("Text", "Hello\nAnn", "body"),
    ]


def test_a_mail_to_many_says_to_how_many() -> None:
    mail = readable("send_bulk_email", {"to": ["a@x", "b@x"], "subject": "Hi", "body": ""})

    assert mail.title == "Mail to 2 people: Hi"
    assert (mail.parts[0].label, mail.parts[0].text) == ("To (2)", "a@x\nb@x")


def test_a_payment_shows_amount_and_account_as_on_paper() -> None:
    args = {"payee": "ACME", "iban": "de89 370400440532013000", "amount": 4870.5, "reference": "R"}

    assert readable("pay_invoice", args).title == "Pay 4,870.50 USD to ACME"
    assert _lines("pay_invoice", args)["IBAN"] == "de89 3704 0044 0532 0130 00"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(10, "10.00 USD"), (0.1, "0.10 USD"), (38.256, "38.256 USD"), (1e21, "1,000,000,000,000,000,000,000.00 USD")],
)
def test_an_amount_is_never_rounded(amount: float, shown: str) -> None:
    args = {"payee": "ACME", "iban": "X", "amount": amount, "reference": "R"}

    assert _lines("pay_invoice", args)["Amount"] == shown


def test_an_order_says_what_it_comes_to() -> None:
    order = readable("place_order", {"item": "Lamp", "quantity": 3, "unit_price": 0.1})

    assert (order.title, order.sum) == ("Order 3 x Lamp for 0.30 USD", "0.30 USD")


@pytest.mark.parametrize("args", [{"payee": "A"}, {"payee": "A", "iban": "X", "amount": True, "reference": "R"}, {}])
def test_what_does_not_look_like_a_payment_is_a_list(args: dict[str, Any]) -> None:
    assert readable("pay_invoice", args).kind == "other"


def test_any_other_call_is_a_labelled_list() -> None:
    args = {"path": "notes.txt", "record_ids": [1, {"a": None}], "tags": ["x", "y"], "force": True}

    assert readable("write_file", args).title == "Write file: notes.txt"
    assert _lines("write_file", args) == {
        "Path": "notes.txt",
        "Record ids": json.dumps([1, {"a": None}], indent=2),
        "Tags (2)": "x\ny",
        "Force": "true",
    }


@given(tool=TOOLS, args=st.dictionaries(NAMES | st.text(), ANYTHING, max_size=6))
def test_no_call_breaks_the_page_and_no_argument_is_left_out(tool: str, args: dict[str, Any]) -> None:
    shown = readable(tool, args)

    assert sorted(part.name for part in shown.parts) == sorted(args)
    assert len(shown.title) <= 110


def test_names_are_words() -> None:
    assert [words(name) for name in ("unit_price", "iban", "", "_")] == ["Unit price", "IBAN", "", "_"]
