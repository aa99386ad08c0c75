"""`BALLAST_POLICY` as a user meets it: broken files are one line, and what it raises is asked with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import ROOT, Ballast, Script, one_line

EXAMPLE = str(ROOT / "examples/policy.yaml")
PAY = {
    "name": "pay_invoice",
    "args": {"payee": "Lumen Ltd", "iban": "DE89 3704 0044 0532 0130 00", "amount": 120.5, "reference": "INV-7"},
}
LAUGHS = "\n".join(
    f"l{number}: &l{number} [{', '.join([f'*l{number - 1}' if number else 'ha'] * 9)}]" for number in range(10)
)


def _rule(text: str) -> str:
    return f"tools: {{pay_invoice: {{raise: [{{{text}}}]}}}}"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "policy.yaml: there is no such file; name a file that can be read, or unset it"),
        ("folder", "policy.yaml is a folder: name the file in it"),
        (b"\x7fELF\x02\x01\xff", "policy.yaml is not UTF-8 text"),
        (b"", "policy.yaml must be a mapping with tiers, tools, trusted or some of them"),
        ("tools: [pay_invoice", "policy.yaml is not YAML: line "),
        (LAUGHS, "policy.yaml, line 1: anchors and aliases (& and *) are not taken here"),
        ("#" * 100_000, "policy.yaml is over 64000 bytes"),
        ("tools: {pay_invoice: {rsik: critical}}", "policy.yaml, tools.pay_invoice.rsik: there is no such field: use"),
        ("tools: {pay_invoce: {risk: critical}}", "policy.yaml, tools.pay_invoce: there is no tool 'pay_invoce': see"),
        ("tools: {pay_invoice: {risk: medium}}", "medium would loosen pay_invoice, which is high itself: write high"),
        ("tools: {pay_invoice: {risk: severe}}", "tools.pay_invoice.risk: write one of low, medium, high, critical"),
        (_rule("argument: amount, above: 1, risk: low"), "raise, rule 1, risk: low would loosen pay_invoice"),
        (_rule("argument: amount, above: many, risk: high"), "raise, rule 1, above: write a number, without quotes"),
        (_rule("argument: sum, above: 1, risk: high"), "pay_invoice takes no 'sum': it takes payee, iban, amount"),
        ("tools: {pay_invoice: {approvers: []}}", "nobody could decide: name a role, or leave approvers out"),
        ("tiers: {high: {approvers: [boss]}}", "tiers.high.approvers, entry 1: write one of user, approver, admin"),
    ],
)  # fmt: skip
def test_a_policy_that_does_not_hold_is_one_line(
    ballast: Ballast, tmp_path: Path, written: bytes | str | None, said: str
) -> None:
    path = tmp_path / "policy.yaml"
    if written == "folder":
        path.mkdir()
    elif written is not None:
        path.write_bytes(written if isinstance(written, bytes) else written.encode())

    for command in (["run", "go"], ["tools"]):
        one_line(ballast(*command, BALLAST_POLICY=str(path)), 2, "BALLAST_POLICY: ", said)


@pytest.mark.parametrize("command", ["doctor", "threads", "approvals list", "resume t", "history t", "effects t"])
def test_no_command_works_under_a_policy_that_does_not_hold(ballast: Ballast, command: str) -> None:
    one_line(ballast(*command.split(), BALLAST_POLICY="nowhere.yaml"), 2, "BALLAST_POLICY: nowhere.yaml: there is no")


def test_doctor_and_tools_show_the_policy_that_holds(ballast: Ballast) -> None:
    checks = {row["check"]: row["status"] for row in json.loads(ballast("doctor", "--json").stdout)}
    under = {
        row["check"]: row["status"] for row in json.loads(ballast("doctor", "--json", BALLAST_POLICY=EXAMPLE).stdout)
    }
    listed = {row["name"]: row["risk"] for row in json.loads(ballast("tools", "--json", BALLAST_POLICY=EXAMPLE).stdout)}

    assert checks["policy"] == "not set: each tool's own tier"
    assert under["policy"] == f"ok: {EXAMPLE}, for pay_invoice, place_order, send_email, write_file"
    assert (listed["write_file"], listed["send_email"], listed["read_file"]) == ("high", "medium", "low")
    assert "RISK is the tier in force" in ballast("tools", "--help").stdout


def test_an_empty_variable_is_no_policy(ballast: Ballast) -> None:
    listed = {row["name"]: row["risk"] for row in json.loads(ballast("tools", "--json", BALLAST_POLICY="").stdout)}

    assert listed["write_file"] == "medium"


def test_what_the_example_raises_is_asked_with_its_reason_and_a_persons_payment_makes_the_payee_known(
    ballast: Ballast, script: Script
) -> None:
    to = ", ".join(f"p{number}@example.com" for number in range(4))
    crowd = {"name": "send_email", "args": {"to": to, "subject": "Hi", "body": "Hello"}}
    model = script({"tool_calls": [PAY, crowd]}, {"content": "Done."})

    first = ballast("run", "go", "--thread", "t", "--model", model, BALLAST_POLICY=EXAMPLE)

    assert first.returncode == 3
    asked = {row["tool"]: row for row in json.loads(ballast("approvals", "list", "--json").stdout)}
    assert (asked["pay_invoice"]["risk"], asked["pay_invoice"]["reason"]) == (
        "critical", "never paid before: a person makes the first payment",
    )  # fmt: skip
    assert (asked["send_email"]["risk"], asked["send_email"]["reason"]) == (
        "high", "more than 3 recipients; first mail to this address",
    )  # fmt: skip
    bob = {"BALLAST_POLICY": EXAMPLE, "LOGNAME": "bob"}  # the example wants a second pair of eyes
    one_line(ballast("approvals", "approve", asked["pay_invoice"]["id"], **bob), 2, "use one of done")

    ballast("approvals", "done", asked["pay_invoice"]["id"], "-m", "paid at the bank", **bob)
    model = script({"tool_calls": [PAY]}, {"content": "Done."})
    ballast("run", "go", "--thread", "u", "--model", model, BALLAST_POLICY=EXAMPLE)

    [again] = json.loads(ballast("approvals", "list", "--thread", "u", "--json").stdout)
    assert (again["risk"], again["reason"]) == ("high", "pays money to someone; a second person must agree")


def test_four_eyes_bind_who_asked_on_the_command_line_too(ballast: Ballast, script: Script, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("tools: {pay_invoice: {four_eyes: true}}")
    asked = ballast("run", "pay", "--model", script({"tool_calls": [PAY]}, {"content": "Paid."}), "--json")
    approval = json.loads(asked.stdout)["approvals"][0]["id"]

    one_line(ballast("approvals", "approve", approval, BALLAST_POLICY=str(path)), 2, "pay_invoice needs four eyes")

    assert ballast("approvals", "reject", approval, BALLAST_POLICY=str(path)).returncode == 0
