from __future__ import annotations

import time

import pytest

from graph.guards import Allowed, Redacted
from services.guards.redaction import KINDS, luhn, redacted

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEow+/=\nabc\n-----END RSA PRIVATE KEY-----"


def taken(text: str, kind: str) -> str:
    verdict = redacted(text, kind)
    return verdict.text if isinstance(verdict, Redacted) else text


@pytest.mark.parametrize(
    "secret",
    [
        "AKIA" + "Q" * 16,
        "ghp_" + "a1" * 18,
        "github_pat_" + "a" * 82,
        "glpat-" + "x" * 20,
        "xoxb-123456789012-abcdef",
        "sk_live_" + "a" * 24,
        "sk-proj-" + "A_b-1" * 10,
        "sk-ant-api03-" + "x" * 40,
        "AIza" + "B" * 35,
        f"SG.{'a' * 22}.{'b' * 43}",
        "npm_" + "c" * 36,
        "pypi-" + "d" * 60,
        "hf_" + "e" * 34,
        JWT,
    ],
)
def test_keys_are_taken_out_whole(secret: str) -> None:
    assert taken(f"use {secret}, please", "secrets") == "use [key taken out], please"
    assert taken(f'{{"key":"{secret}"}}', "secrets") == '{"key":"[key taken out]"}'


def test_a_private_key_goes_with_all_its_lines_also_when_it_is_cut_off() -> None:
    assert taken(f"a\n{PEM}\nb", "secrets") == "a\n[private key taken out]\nb"
    assert taken("x -----BEGIN PRIVATE KEY-----\nMIIE", "secrets") == "x [private key taken out]"


def test_a_password_in_an_address_goes_and_the_address_stays() -> None:
    assert taken("postgres://ann:s3cret@db/x", "secrets") == "postgres://[password taken out]@db/x"
    assert taken("see https://a.example/x:y and mail@b.example", "secrets").startswith("see https://a.example/x:y")


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "3400 000000 00009",
        "30000000000004",
        "6011000000000004",
    ],
)
def test_card_numbers_go_however_they_are_grouped(number: str) -> None:
    assert luhn("".join(filter(str.isdigit, number)))
    assert taken(f"card {number}.", "cards") == "card [card number taken out]."
    assert taken(f"1 of 12 {number} 99", "cards") == "1 of 12 [card number taken out] 99"


@pytest.mark.parametrize(
    "number", ["4111111111111112", "1234567812345670", "41111111111111111111111", "ORD-4111111111111111x"]
)
def test_other_numbers_stay(number: str) -> None:
    assert redacted(f"no. {number}", "cards") == Allowed()


def test_ibans_go_and_what_reads_as_more_of_them_stays() -> None:
    text = "Pay DE89 3704 0044 0532 0130 00 AND gb82west12345698765432, not DE89370400440532013001, ZZ12ABCDEFGHIJKLMNO"
    assert taken(text, "ibans") == (
        "Pay [IBAN taken out] AND [IBAN taken out], not DE89370400440532013001, ZZ12ABCDEFGHIJKLMNO"
    )


def test_mail_addresses_go() -> None:
    assert redacted("Ann <ann.b+c@mail.example.org>, x@y", "addresses") == Redacted(
        "Ann <[mail address taken out]>, x@y", "1 mail address"
    )


def test_what_was_taken_out_is_counted_in_words() -> None:
    verdict = redacted("a@b.example c@d.example", "addresses")
    assert isinstance(verdict, Redacted)
    assert verdict.what == "2 mail addresses"


HOSTILE = [
    "eyJ",
    "eyJ-",
    "eyJaaaaaaaa.eyJaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\nA: b\n",
    "sk-",
    "://a:b",
    "://",
    "4111 ",
    "4 ",
    "411 ",
    "41",
    "DE89 ",
    "DE89",
    "a@a.",
    "a.a@",
    "@",
]


@pytest.mark.alone
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", HOSTILE)
def test_no_text_keeps_it_busy(kind: str, part: str) -> None:
    started = time.perf_counter()
    redacted(part * (120_000 // len(part)), kind)
    assert time.perf_counter() - started < 5, "a fraction of a second, on a machine with other work"


def test_what_stands_in_another_goes_with_it() -> None:
    assert taken(f"https://ann:ghp_{'a1' * 18}@h/", "secrets") == "https://[password taken out]@h/"
