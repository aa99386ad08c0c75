"""Who may take which decision, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from graph.approvals import Approval
from graph.people import Person, Role
from graph.state import Risk
from services.policy import Policy
from services.rights import NEEDS_FOUR_EYES, refusal, visible

KINDS = ("approve", "edit", "reject", "respond", "cancel", "done", "retry", "abandon")
GIVEN_UP = {"reject", "cancel"}


@dataclass(frozen=True)
class Rules:
    """A policy, as the rights see it."""

    named: dict[str, frozenset[Role]] = field(default_factory=dict)
    """Roles by tool or tier."""
    four: frozenset[str] = frozenset()

    def approvers(self, tool: str, risk: Risk) -> frozenset[Role] | None:
        return self.named.get(tool, self.named.get(risk))

    def four_eyes(self, tool: str) -> bool:
        return tool in self.four


SILENT = Rules()
FOUR_EYES = Rules(four=frozenset({"pay"}))


def _approval(risk: Risk, *, requester: str = "ann", effect_key: str | None = None) -> Approval:
    return Approval(
        id="ap-1", thread_id="t", interrupt_id="i", call_id="c", tool="pay", args={}, risk=risk, reason="",
        deadline=None, status="pending", requester=requester, effect_key=effect_key,
    )  # fmt: skip


def _allowed(person: Person, risk: Risk, policy: Rules, *, requester: str = "ann") -> set[str]:
    approval = _approval(risk, requester=requester)
    return {kind for kind in KINDS if refusal(person, approval, kind, policy) is None}


def _person(role: Role, name: str = "bob") -> Person:
    return Person(name=name, role=role)


ALL, NONE = set(KINDS), set[str]()


@pytest.mark.parametrize(
    ("risk", "role", "name", "may"),
    [
        ("low", "user", "ann", ALL),
        ("medium", "user", "ann", ALL),
        ("high", "user", "ann", GIVEN_UP),
        ("critical", "user", "ann", GIVEN_UP),
        ("low", "user", "bob", NONE),
        ("medium", "user", "bob", NONE),
        ("high", "user", "bob", NONE),
        ("critical", "user", "bob", NONE),
        ("medium", "approver", "bob", ALL),
        ("high", "approver", "bob", ALL),
        ("critical", "approver", "bob", ALL),
        ("high", "approver", "ann", ALL),
        ("high", "admin", "bob", ALL),
        ("critical", "admin", "ann", ALL),
    ],
)
def test_where_the_policy_says_nothing(risk: Risk, role: Role, name: str, may: set[str]) -> None:
    assert _allowed(_person(role, name), risk, SILENT) == may


@pytest.mark.parametrize(
    ("roles", "role", "name", "may"),
    [
        (["admin"], "user", "ann", GIVEN_UP),
        (["admin"], "approver", "bob", NONE),
        (["admin"], "approver", "ann", GIVEN_UP),
        (["admin"], "admin", "bob", ALL),
        (["approver"], "admin", "bob", ALL),
        (["user"], "user", "bob", ALL),
        (["user"], "approver", "bob", NONE),
        ([], "approver", "bob", NONE),
        ([], "admin", "bob", ALL),
    ],
)
@pytest.mark.parametrize("key", ["pay", "medium"])
def test_the_roles_a_policy_names_are_the_only_ones_beside_admins(
    roles: list[Role], role: Role, name: str, may: set[str], key: str
) -> None:
    assert _allowed(_person(role, name), "medium", Rules({key: frozenset(roles)})) == may


@pytest.mark.parametrize("role", ["user", "approver", "admin"])
@pytest.mark.parametrize("risk", ["low", "medium", "high", "critical"])
def test_with_four_eyes_who_asked_lets_nothing_happen_whatever_their_role(role: Role, risk: Risk) -> None:
    may = _allowed(_person(role, "ann"), risk, FOUR_EYES)

    assert may >= GIVEN_UP
    assert not may & set(NEEDS_FOUR_EYES)


@pytest.mark.parametrize(("role", "may"), [("user", NONE), ("approver", ALL), ("admin", ALL)])
def test_with_four_eyes_others_decide_as_ever(role: Role, may: set[str]) -> None:
    assert _allowed(_person(role), "high", FOUR_EYES) == may


def test_with_four_eyes_a_call_nobody_is_known_to_have_asked_for_can_only_be_given_up() -> None:
    assert _allowed(_person("admin"), "high", FOUR_EYES, requester="") == GIVEN_UP | {"abandon"}


def test_nobody_asked_for_a_call_whose_requester_is_not_known() -> None:
    """A person without a name must not match it."""
    assert _allowed(_person("user", ""), "medium", SILENT, requester="") == NONE


@pytest.mark.parametrize(
    ("person", "risk", "kind", "policy", "said"),
    [
        (_person("user"), "high", "approve", SILENT, "pay (high) is decided by approver or admin: bob is user"),
        (
            _person("approver"),
            "high",
            "edit",
            Rules({"pay": frozenset({"user"})}),
            "pay (high) is decided by user or admin: bob is approver",
        ),
        (
            _person("admin", "ann"),
            "high",
            "approve",
            FOUR_EYES,
            "pay needs four eyes: ann had a hand in it, so somebody else must approve it",
        ),
    ],
)
def test_a_refusal_says_who_may(person: Person, risk: Risk, kind: str, policy: Rules, said: str) -> None:
    assert refusal(person, _approval(risk), kind, policy) == said


@pytest.mark.parametrize(
    ("role", "name", "risk", "seen"),
    [
        ("user", "ann", "critical", True),
        ("user", "bob", "medium", False),
        ("approver", "bob", "critical", True),
        ("admin", "bob", "high", True),
    ],
)
def test_one_sees_what_one_asked_for_or_may_decide(role: Role, name: str, risk: Risk, *, seen: bool) -> None:
    assert visible(_person(role, name), _approval(risk), SILENT) is seen


def test_an_effect_in_doubt_is_seen_by_who_may_settle_it_and_by_who_asked_although_they_may_not() -> None:
    in_doubt = _approval("high", effect_key="k")

    assert visible(_person("user", "ann"), in_doubt, FOUR_EYES)
    assert visible(_person("approver"), in_doubt, FOUR_EYES)
    assert not visible(_person("user"), in_doubt, FOUR_EYES)


def test_a_policy_file_is_what_the_rights_ask() -> None:
    policy = Policy.model_validate({"tools": {"pay": {"approvers": ["admin"]}, "mail": {"four_eyes": True}}})
    mail = replace(_approval("high"), tool="mail")

    assert refusal(_person("approver"), _approval("high"), "approve", policy) == (
        "pay (high) is decided by admin: bob is approver"
    )
    assert refusal(_person("admin"), _approval("high"), "approve", policy) is None
    assert refusal(_person("admin", "ann"), mail, "approve", policy) is not None
    assert refusal(_person("approver"), mail, "approve", policy) is None


@pytest.mark.parametrize("kind", ["approve", "edit", "respond", "retry", "done"])
def test_with_four_eyes_whoever_had_a_hand_in_the_thread_lets_nothing_happen_either(kind: str) -> None:
    asked = replace(_approval("high", requester="ann"), authors=["bob", "ann"])

    assert refusal(Person(name="bob", role="admin"), asked, kind, FOUR_EYES) is not None
    assert refusal(Person(name="eve", role="admin"), asked, kind, FOUR_EYES) is None
    assert refusal(Person(name="bob", role="admin"), asked, "reject", FOUR_EYES) is None
