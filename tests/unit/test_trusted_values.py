"""What the operator vouches for: which values are entries, and how a directory that does not hold is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graph.errors import BadSetting
from services.policy import Policy, load
from services.trusted_values import MAX_BYTES, MOST
from tools import office

STAFF = {"for": ["send_email.to", "send_bulk_email.to"], "values": ["ann@example.org", "Bob <bob@example.org>"]}
BANKS = {"for": ["pay_invoice.iban"], "values": ["DE89 3704 0044 0532 0130 00"]}
PAGES = {"for": ["fetch_url.url"], "urls": ["https://wiki.example.org/pages", "https://wiki.example.org/find?q=&page="]}
POLICY = Policy.model_validate({"trusted": {"staff": STAFF, "banks": BANKS, "wiki": PAGES}})


def held(argument: str, value: Any, *said: str) -> str | None:
    tool, _, name = argument.partition(".")
    return office.toolbox(POLICY).vouched(tool, name, value, said.__contains__)


@pytest.mark.parametrize(
    ("argument", "value", "directory"),
    [
        ("send_email.to", "ann@example.org", "staff"),
        ("send_email.to", " Ann@Example.ORG ", "staff"),
        ("send_email.to", "bob  <bob@example.org>", "staff"),
        ("send_bulk_email.to", ["ann@example.org", "ANN@example.org"], "staff"),
        ("pay_invoice.iban", "DE89370400440532013000", "banks"),
        ("pay_invoice.iban", "de89 3704 0044 0532 0130 00", "banks"),
        ("fetch_url.url", "https://wiki.example.org/pages/1", "wiki"),
    ],
)
def test_an_entry_is_found_however_it_is_spaced_and_cased(argument: str, value: Any, directory: str) -> None:
    assert held(argument, value) == directory


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        # Another argument than it holds for.
        ("send_email.subject", "ann@example.org"),
        ("write_file.path", "ann@example.org"),
        ("pay_invoice.payee", "DE89370400440532013000"),
        ("pay_invoice.amount", "DE89370400440532013000"),
        # A part of an entry, or more than one.
        ("send_email.to", "nn@example.org"),
        ("send_email.to", "example.org"),
        ("send_email.to", "ann@example.org.evil.net"),
        ("send_email.to", "ann@example.org, eve@evil.net"),
        ("send_email.to", "ann@example.org, ann@example.org"),
        ("send_email.to", "ann@example.org\nbcc: eve@evil.net"),
        ("send_email.to", "ann@example.org\n"),
        ("send_email.to", "eve@evil.net <ann@example.org>"),
        ("send_bulk_email.to", ["ann@example.org", "eve@evil.net"]),
        ("send_bulk_email.to", [["ann@example.org"], {"ann@example.org": "eve"}]),
        ("send_bulk_email.to", []),
        ("pay_invoice.iban", "DE89370400440532013001"),
        ("pay_invoice.iban", "DE89370400440532013000 1"),
        # What only looks like an entry.
        ("send_email.to", "a\uff4en@example.org"),
        ("send_email.to", "ann@ex\u0430mple.org"),  # a Cyrillic letter
        ("send_email.to", "ann@example.org\u200b"),
        ("send_email.to", "ann@example.org\u00a0"),
        ("send_email.to", ""),
        ("send_email.to", None),
        ("send_email.to", True),
        ("send_email.to", {"to": "ann@example.org"}),
        ("nothing.to", "ann@example.org"),
    ],
)
def test_what_is_no_entry_for_this_argument_as_a_whole_is_none(argument: str, value: Any) -> None:
    assert held(argument, value) is None


def test_a_sharp_s_is_no_double_s() -> None:
    policy = Policy.model_validate({"trusted": {"x": {"for": ["send_email.to"], "values": ["a@strasse.example"]}}})

    assert policy.vouched("send_email", "to", "a@stra\u00dfe.example", lambda _: True) is None
    assert policy.vouched("send_email", "to", "A@Strasse.example", lambda _: False) == "x"


@pytest.mark.parametrize(
    "url",
    [
        "https://wiki.example.org/pages",
        "https://wiki.example.org/pages/",
        "https://WIKI.Example.org:443/pages/a/b",
        "HTTPS://wiki.example.org/pages/a",
        "https://wiki.example.org/find",
        "https://wiki.example.org/find?q=lamps",
        "https://wiki.example.org/find?page=&q=desk%20lamps",
        "https://wiki.example.org/find?q=desk+lamps",
    ],
)
def test_an_address_that_goes_on_as_an_allowed_one_is_allowed(url: str) -> None:
    assert held("fetch_url.url", url, "lamps", "desk lamps") == "wiki"


@pytest.mark.parametrize(
    "url",
    [
        "http://wiki.example.org/pages",
        "https://wiki.example.org.evil.net/pages",
        "https://evil.net/https://wiki.example.org/pages",
        "https://evil.net\\@wiki.example.org/pages",
        "https://wiki.example.org\\.evil.net/pages",
        "https://wiki.example.org@evil.net/pages",
        "https://ann:word@wiki.example.org/pages",
        "https://@wiki.example.org/pages",
        "https://wiki.example.org:8443/pages",
        "https://wiki.example.org:0/pages",
        "https://wiki.example.org./pages",
        "https://w\u0456ki.example.org/pages",  # a Cyrillic letter
        "https://\uff57iki.example.org/pages",
        "https://wiki.example.org",
        "https://wiki.example.org/",
        "https://wiki.example.org/page",
        "https://wiki.example.org/pagesecret",
        "https://wiki.example.org/Pages",
        "https://wiki.example.org/pages/../admin",
        "https://wiki.example.org/pages/%2e%2E/admin",
        "https://wiki.example.org/pages/..;x/admin",
        "https://wiki.example.org/pages/.%2e%2fadmin",
        "https://wiki.example.org/pages/%252e%252e/admin",
        "https://wiki.example.org/pages/..\\admin",
        "https://wiki.example.org/pages//evil.net/x",
        "https://wiki.example.org/x/../pages",
        "https://wiki.example.org//pages",
        "https://wiki.example.org/pages#secret",
        "https://wiki.example.org/pages?secret",
        "https://wiki.example.org/pages?",
        "https://wiki.example.org/pages?q=lamps",  # a key of another entry
        "https://wiki.example.org/find?q=secret",
        "https://wiki.example.org/find?q=lamps&q=lamps",
        "https://wiki.example.org/find?q=lamps&secret=",
        "https://wiki.example.org/find?q=lamps&secret",
        "https://wiki.example.org/find?q=%6c%61mps%ff",
        "https://wiki.example.org/find?q=lamps&page=secret",
        "https://wiki.example.org/find?Q=lamps",
        "https://wiki.example.org/pages\n",
        " https://wiki.example.org/pages",
        "https://wiki.example.org/pages/a b",
        "https://wiki.example.org/pages\0",
        "//wiki.example.org/pages",
        "https:/wiki.example.org/pages",
        "wiki.example.org/pages",
        "file://wiki.example.org/pages",
        "https://[wiki.example.org/pages",
        "https://wiki.example.org:port/pages",
        "https://wiki.example.org/pages/" + "x" * 2_000,
        "",
    ],
)
def test_an_address_in_which_anything_else_could_leave_is_not(url: str) -> None:
    assert held("fetch_url.url", url, "lamps") is None


def test_a_host_is_compared_as_dns_is_asked_and_an_entry_of_a_host_is_all_of_it() -> None:
    pages = {"for": ["fetch_url.url"], "urls": ["http://b\u00fccher.example:8080/"]}
    policy = Policy.model_validate({"trusted": {"books": pages}})

    def allowed(url: str) -> bool:
        return policy.vouched("fetch_url", "url", url, lambda _: False) == "books"

    assert allowed("http://xn--bcher-kva.example:8080/a/b")
    assert allowed("http://B\u00fccher.example:8080")
    assert not allowed("http://b\u00fccher.example/a")


def _trusted(text: str) -> str:
    return f"trusted: {{x: {{{text}}}}}"


TO = "for: [send_email.to]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trusted: {}", None),
        (_trusted(f"{TO}, values: [a@b.example]"), None),
        (_trusted(f"{TO}, file: ok.txt"), None),
        (_trusted(f"{TO}, file: ok.csv, column: iban"), None),
        ("trusted: [a]", ", trusted: write a mapping"),
        ("trusted: {x: [a]}", ", trusted.x: write a mapping"),
        ("trusted: {'': {}}", ", trusted.: write one line"),
        ("trusted: {values: {for: [a]}}", ", trusted.values.for, entry 1: write TOOL.ARGUMENT"),
        (_trusted(TO), ", trusted.x: write one of values: [...], file: NAME, urls: [...]"),
        (_trusted(f"{TO}, values: [a], file: b"), ", trusted.x: write one of values"),
        (_trusted(f"{TO}, values: [a], column: b"), ", trusted.x: column is for a file: leave it out"),
        (_trusted(f"{TO}, value: [a]"), "x.value: there is no such field: use for, values, file, column, urls"),
        (_trusted("values: [a]"), ", trusted.x.for: it is missing"),
        (_trusted("for: [], values: [a]"), ", trusted.x.for: write at least one"),
        (_trusted("for: send_email.to, values: [a]"), ", trusted.x.for: write a list"),
        (_trusted("for: [send_email], values: [a]"), ".for, entry 1: write TOOL.ARGUMENT, such as send_email.to"),
        (_trusted("for: [a.b], values: [a]"), ".for, entry 1: there is no tool 'a': see 'ballast tools'"),
        (
            _trusted("for: [send_email.to, send_email.cc], values: [a]"),
            "entry 2: send_email takes no 'cc': it takes to",
        ),
        (_trusted("for: [read_file.path], values: [a]"), "read_file changes nothing and lets nothing out"),
        (_trusted("for: [delete_records.ids], values: ['7']"), "ids names a record of delete_records: only a lookup"),
        (_trusted(f"{TO}, values: []"), ", trusted.x.values: write at least one"),
        (_trusted(f"{TO}, values: a"), ", trusted.x.values: write a list"),
        (_trusted(f"{TO}, values: [a, 7]"), ", trusted.x.values, entry 2: write text, in quotes if it looks like"),
        (_trusted(f"{TO}, values: ['  ']"), ", trusted.x.values, entry 1: write 1 to 300 printable characters"),
        (_trusted(f'{TO}, values: ["a\\nb"]'), ", trusted.x.values, entry 1: write 1 to 300 printable"),
        (_trusted(f"{TO}, urls: [wiki.example.org]"), ", trusted.x.urls, entry 1: write https://HOST/PATH"),
        (_trusted(f"{TO}, urls: ['https://a.example/x?q=1']"), ".urls, entry 1: write https://HOST/PATH"),
        (_trusted(f"{TO}, urls: ['https://a.example/x?q']"), ".urls, entry 1: write https://HOST/PATH"),
        (_trusted(f"{TO}, urls: ['https://a:b@a.example/']"), ".urls, entry 1: write https://HOST/PATH"),
        (_trusted(f"{TO}, urls: ['https://a.example/../x']"), ".urls, entry 1: write https://HOST/PATH"),
        (_trusted(f"{TO}, file: ''"), ", trusted.x.file: write a name"),
        (_trusted(f"{TO}, file: gone.txt"), ", trusted.x.file: 'gone.txt': there is no such file"),
        (_trusted(f"{TO}, file: ."), ", trusted.x.file: '.' is a folder"),
        (_trusted(f'{TO}, file: "a\\0"'), ", trusted.x.file: 'a\\x00': this can't be a file's name"),
        (_trusted(f"{TO}, file: empty.txt"), ", trusted.x.file: 'empty.txt' has no entries"),
        (_trusted(f"{TO}, file: binary.txt"), ", trusted.x.file: 'binary.txt' is not UTF-8 text"),
        (_trusted(f"{TO}, file: odd.txt"), "'odd.txt': 'a\\tb' is no entry: up to 300 printable characters"),
        (_trusted(f"{TO}, file: huge.txt"), f"'huge.txt' is over {MAX_BYTES} bytes"),
        (_trusted(f"{TO}, file: many.txt"), f"'many.txt' has over {MOST} entries"),
        (_trusted(f"{TO}, file: ok.csv, column: bic"), "'ok.csv' has no one column 'bic': it has name, iban"),
        (_trusted(f"{TO}, file: empty.txt, column: bic"), "'empty.txt' has no one column 'bic': it has none"),
        (_trusted(f"{TO}, file: ragged.csv, column: iban"), "'ragged.csv', row 3: it has 1 fields, not 2"),
        (_trusted(f"{TO}, file: broken.csv, column: iban"), "'broken.csv' is no CSV: "),
        (_trusted(f"{TO}, file: twice.csv, column: iban"), "'twice.csv' has no one column 'iban': it has iban, iban"),
    ],
)
def test_what_does_not_hold_is_one_line_with_the_place_and_what_to_write(
    tmp_path: Path, text: str, said: str | None
) -> None:
    beside = {
        "ok.txt": "a@b.example\n\n c@d.example \n",
        "ok.csv": '\ufeffname,iban\n"A, B",DE89\n\nC,\n',
        "empty.txt": "\n \n",
        "odd.txt": "a\tb\n",
        "huge.txt": "x" * (MAX_BYTES + 1),
        "many.txt": "x\n" * (MOST + 1),
        "ragged.csv": "name,iban\na,b\nc\n",
        "broken.csv": 'name,iban\n"a"b,c\n',
        "twice.csv": "iban,iban\na,b\n",
    }
    for name, content in beside.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    file = tmp_path / "policy.yaml"
    file.write_text(text)

    if said is None:
        office.toolbox(load(file))
        return
    with pytest.raises(BadSetting) as refused:
        office.toolbox(load(file))

    assert str(refused.value).startswith(f"BALLAST_POLICY: {file}")
    assert said in str(refused.value)
    assert str(refused.value).isprintable()


def test_the_example_knows_its_suppliers_by_account_and_nobody_by_name() -> None:
    policy = load(Path(__file__).parents[2] / "examples/policy.yaml")
    office.toolbox(policy)

    def known(tool: str, argument: str, value: str) -> str | None:
        return policy.vouched(tool, argument, value, lambda _: False)

    assert known("pay_invoice", "iban", "GB29NWBK60161331926819") == "known suppliers"
    assert known("pay_invoice", "iban", "GB33BUKB20201555555555") is None
    assert known("pay_invoice", "iban", "Brightdesk") is None
    assert known("send_email", "to", "facilities@example.com") == "colleagues"
    assert known("fetch_url", "url", "https://handbook.example.com/rules/travel") == "our handbook"
