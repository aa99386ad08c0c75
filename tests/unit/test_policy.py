"""A policy file: what it may say, who may decide by it, and how it is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import BadSetting
from graph.people import Role
from graph.state import Risk
from services.policy import Policy, load
from services.policy_file import MAX_BYTES
from tools import office

EXAMPLE = Path(__file__).parents[2] / "examples/policy.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def _pay(text: str) -> str:
    return f"tools: {{pay_invoice: {{{text}}}}}"


def _rule(text: str) -> str:
    return _pay(f"raise: [{{{text}}}]")


def test_the_example_fits_the_built_in_tools_and_sets_their_tiers() -> None:
    listing = office.toolbox(load(EXAMPLE)).listing()

    tiers = {row["name"]: row["risk"] for row in listing}
    assert {name: tiers[name] for name in ("write_file", "send_email", "pay_invoice", "read_file")} == {
        "write_file": "high", "send_email": "medium", "pay_invoice": "high", "read_file": "low",
    }  # fmt: skip


def test_without_a_policy_nothing_is_changed() -> None:
    assert office.toolbox(Policy()).listing() == office.toolbox().listing()
    assert (Policy().approvers("pay_invoice", "high"), Policy().four_eyes("pay_invoice"), Policy().file) == (
        None, False, "",
    )  # fmt: skip


ADMIN: frozenset[Role] = frozenset({"admin"})
APPROVER: frozenset[Role] = frozenset({"approver"})
BOTH: frozenset[Role] = ADMIN | APPROVER


@pytest.mark.parametrize(
    ("text", "risk", "roles"),
    [
        ("tools: {}", "high", None),
        ("tiers: {high: {approvers: [approver, admin]}}", "high", BOTH),
        ("tiers: {high: {approvers: [approver, admin]}}", "medium", None),
        ("tiers: {high: {approvers: [approver, admin]}}", "low", None),
        # A call that rises to a tier the file leaves out is not decided by more people than below it.
        ("tiers: {high: {approvers: [admin]}}", "critical", ADMIN),
        ("tiers: {medium: {approvers: [user, approver]}}", "high", APPROVER),
        ("tiers: {medium: {approvers: [user]}}", "high", None),
        ("tiers: {high: {approvers: [admin]}, critical: {approvers: [approver]}}", "critical", APPROVER),
        (_pay("approvers: [admin]"), "high", ADMIN),
        (_pay("approvers: [admin]"), "critical", ADMIN),
        (_pay("four_eyes: true"), "high", None),
        ("{tiers: {high: {approvers: [admin, approver]}}, tools: {pay_invoice: {approvers: [admin]}}}", "high", ADMIN),
        ("{tiers: {high: {approvers: [admin]}}, tools: {pay_invoice: {approvers: [admin, user]}}}", "high", ADMIN),
    ],
)
def test_who_may_decide_is_what_both_tier_and_tool_allow(
    file: Path, text: str, risk: Risk, roles: frozenset[Role] | None
) -> None:
    file.write_text(text)
    policy = load(file)

    office.toolbox(policy)

    assert policy.approvers("pay_invoice", risk) == roles


def test_four_eyes_is_for_the_tools_that_are_marked(file: Path) -> None:
    file.write_text("tools: {pay_invoice: {four_eyes: yes}, place_order: {four_eyes: false}}")

    policy = load(file)

    assert [policy.four_eyes(tool) for tool in ("pay_invoice", "place_order", "send_email")] == [True, False, False]


@pytest.mark.parametrize("tool", ["pay_invoice", "place_order"])
def test_a_policy_and_its_parts_can_not_be_changed(file: Path, tool: str) -> None:
    file.write_text(f"tools: {{{tool}: {{risk: critical}}}}")
    policy = load(file)

    with pytest.raises(ValueError, match="frozen"):
        policy.tools = {}  # type: ignore[misc]  # what is tested
    with pytest.raises(ValueError, match="frozen"):
        policy.tools[tool].risk = "low"  # type: ignore[misc]  # as above


LOOSE = "low would loosen pay_invoice, which is high itself: write high or critical"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be a mapping with tiers, tools, trusted or some of them; unset BALLAST_POLICY to have no policy"),
        ("- a", "must be a mapping"),
        ("# nothing but this", "must be a mapping"),
        ("tools:", ", tools: write a mapping"),
        ("tool: {}", ", tool: there is no such field: use tiers, tools, trusted"),
        ("1: {}", ", 1: write a name, in quotes if it looks like a number"),
        ("tools: {1: {}}", ", tools.1: write text, in quotes"),
        ("tools: {nope: {risk: high}}", ", tools.nope: there is no tool 'nope': see 'ballast tools'"),
        (_pay(""), None),
        (_pay("risk: hgih"), ", tools.pay_invoice.risk: write one of low, medium, high, critical"),
        (_pay("risk: low"), f", tools.pay_invoice.risk: {LOOSE}"),
        (_pay("rsk: high"), ".rsk: there is no such field: use risk, reason, approvers, four_eyes, raise"),
        (_pay("rules: []"), ".rules: there is no such field"),
        (_pay("reason: 12"), ".reason: write text"),
        (_pay("reason: ''"), ".reason: write one line"),
        (_pay('reason: "a\\nb"'), ".reason: write one line"),
        (_pay(f"reason: {'x' * 301}"), ".reason: write one line of 1 to 300"),
        (_pay("reason: !!binary aGk="), ".reason: write text"),
        (_pay("four_eyes: 'yes'"), ".four_eyes: write true or false"),
        (_pay("approvers: []"), ".approvers: nobody could decide: name a role, or leave approvers out"),
        (_pay("approvers: admin"), ".approvers: write a list of roles, such as [approver, admin]"),
        (_pay("approvers: [admin, boss]"), ".approvers, entry 2: write one of user, approver, admin"),
        ("tiers: {low: {approvers: [admin]}}", ", tiers.low: there is no such tier: use medium, high, critical"),
        ("tiers: {high: {approver: [admin]}}", ", tiers.high.approvers: it is missing: write it"),
        ("tiers: {high: {approvers: [admin], x: 1}}", ", tiers.high.x: there is no such field: use approvers"),
        ("tiers: {high: [admin]}", ", tiers.high: write a mapping"),
        (
            "{tiers: {high: {approvers: [admin]}}, tools: {pay_invoice: {approvers: [approver]}}}",
            ", tools.pay_invoice.approvers: none of them may decide high calls (tiers.high)",
        ),
        ("{tiers: {medium: {approvers: [user]}}, tools: {pay_invoice: {approvers: [approver]}}}", None),
        ("{tiers: {medium: {approvers: [user]}}, tools: {read_file: {approvers: [admin]}}}", "may decide medium calls"),
        (_rule("argument: amount, above: 1, risk: low"), f", tools.pay_invoice.raise, rule 1, risk: {LOOSE}"),
        (_rule("argument: amount, above: 1, risk: high"), None),
        (_rule("argument: amount, above: 1"), ".raise, rule 1, risk: it is missing"),
        (_rule("argument: amount, above: 1, risk: top"), ".raise, rule 1, risk: write one of low, medium, high"),
        (_rule("argument: amount, over: 1, risk: high"), "rule 1, over: there is no such field: use argument, above"),
        (_rule("argument: amount, risk: high"), ".raise, rule 1: write one of above: NUMBER, more_than: NUMBER, new"),
        (_rule("argument: amount, above: 1, new: true, risk: high"), ".raise, rule 1: write one of above: NUMBER"),
        (_rule("argument: sum, above: 1, risk: high"), "no 'sum': it takes payee, iban, amount, reference"),
        (_rule("argument: context, above: 1, risk: high"), "pay_invoice takes no 'context'"),
        (_rule("argument: amount, above: '1', risk: high"), "rule 1, above: write a number, without quotes"),
        (_rule("argument: amount, above: true, risk: high"), "rule 1, above: write a number, without quotes"),
        (_rule("argument: amount, above: .inf, risk: high"), "rule 1, above: write a finite number"),
        (_rule("argument: amount, above: .nan, risk: high"), "rule 1, above: write a finite number"),
        (_rule("argument: iban, more_than: 1.5, risk: high"), "rule 1, more_than: write a whole number"),
        (_rule("argument: iban, more_than: true, risk: high"), "rule 1, more_than: write a whole number"),
        (_rule("argument: iban, more_than: -1, risk: high"), "rule 1, more_than: write 0 or more"),
        (_rule("argument: iban, new: 1, risk: high"), "rule 1, new: write true or false"),
        (_rule("argument: iban, new: false, risk: high"), "rule 1, new: write true, or leave the rule out"),
        (_pay("raise: {argument: iban}"), ".raise: write a list"),
        (_pay(f"raise: [{'{argument: iban, new: true, risk: high}, ' * 51}]"), ".raise: there are too many"),
        (
            "tools: {read_file: {raise: [{argument: path, new: true, risk: high}]}}",
            ", tools.read_file.raise, rule 1, new: calls of read_file are not recorded, each would be new: use risk",
        ),
        ("tools: {}\ntools: {}", ", line 2: 'tools' is given twice in one mapping: keep one of them"),
        (_pay("risk: high, 'risk': critical"), ", line 1: 'risk' is given twice"),
        (_pay("raise: [{argument: iban, argument: amount}]"), ", line 1: 'argument' is given twice"),
        ("a: &a [x]\nb: [*a, *a]", ", line 1: anchors and aliases (& and *) are not taken here: write it out"),
        ("tools: *a", ", line 1: anchors and aliases"),
        ("[" * 50_000, ", line 1: nested too deep"),
        ("tools: {\n", " is not YAML: line 2: "),
        ("tools: \x07", " is not YAML: "),
        ("tools: {}\n---\ntools: {}", " is not YAML: line 2: "),
        ("!!python/object/apply:os.system ['true']", " is not YAML: line 1: could not determine a constructor"),
        (_pay("reason: 2024-99-99"), " is not YAML: month must be in 1..12"),
        ("#" * (MAX_BYTES + 1), f" is over {MAX_BYTES} bytes: it should be a small file"),
        (b"\x89PNG\r\n\xff\xfe", " is not UTF-8 text"),
    ],
)
def test_what_does_not_hold_is_one_line_with_the_place_and_what_to_write(
    file: Path, text: str | bytes, said: str | None
) -> None:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())

    if said is None:
        office.toolbox(load(file))
        return
    with pytest.raises(BadSetting) as refused:
        office.toolbox(load(file))

    assert str(refused.value).startswith(f"BALLAST_POLICY: {file}")
    assert said in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_policy_made_in_code_is_held_to_the_same(file: Path) -> None:
    with pytest.raises(BadSetting, match=r"^BALLAST_POLICY: tools.pay_invoice.risk: low would loosen"):
        office.toolbox(Policy.model_validate({"tools": {"pay_invoice": {"risk": "low"}}}))


def test_a_file_that_can_not_be_read_is_told_apart(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in {
        tmp_path / "gone.yaml": "there is no such file",
        tmp_path: "is a folder: name the file in it",
        tmp_path / "pipe": "is no plain file",  # it would be waited for
        Path("a\0b"): "this can't be a file's name",
        tmp_path / ("x" * 300): "File name too long",
    }.items():
        with pytest.raises(BadSetting, match=said):
            load(path)


YAML_LIKE = st.text("{}[]:,-&*!|>'\"#%@` \n\tatools_riskpy0123.é", max_size=60)


@settings(deadline=None)  # the machine may be busy
@given(st.one_of(YAML_LIKE.map(str.encode), st.binary(max_size=40), YAML_LIKE.map(lambda text: _pay(text).encode())))
def test_whatever_the_file_holds_it_is_a_policy_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "policy-fuzzed.yaml"
    file.write_bytes(data)

    try:
        told = load(file).file
    except BadSetting as refused:
        told = str(refused).removeprefix("BALLAST_POLICY: ")

    assert told.startswith(str(file))
    assert "\n" not in told
