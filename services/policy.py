"""The policy file: what a deployment adds to the tiers that tools declare. It tightens them, and never loosens one.

It also names who may decide (`approvers`, `four_eyes`), `services/rights.py` holds people to it; and what arguments
may come from besides the people of a thread (`trusted`), see `services/trusted_values.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    ValidationError,
    model_validator,
)

from graph.errors import BadSetting
from graph.people import Role
from graph.state import RISKS, Risk
from services import policy_file, trusted_values
from services.trusted_values import Directory, Shown

DECIDED: tuple[Literal["medium", "high", "critical"], ...] = ("medium", "high", "critical")
"""The tiers somebody decides about, lowest first."""

DECIDERS: frozenset[Role] = frozenset({"approver", "admin"})
"""Who decides high and critical calls when the file says nothing."""

REASON_CHARS = 300


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("write a number, without quotes")  # noqa: TRY004 - what pydantic reports
    return Decimal(str(value))


def _true(value: bool) -> bool:  # noqa: FBT001 - what pydantic calls
    if not value:
        raise ValueError("write true, or leave the rule out")
    return value


def _one_line(text: str) -> str:
    if not (text.strip() and text.isprintable() and len(text) <= REASON_CHARS):
        raise ValueError(f"write one line of 1 to {REASON_CHARS} printable characters")
    return text.strip()


def _somebody(roles: frozenset[Role]) -> frozenset[Role]:
    if not roles:
        raise ValueError("nobody could decide: name a role, or leave approvers out")
    return roles


Reason = Annotated[str, Field(strict=True), AfterValidator(_one_line)]
Roles = Annotated[frozenset[Role], AfterValidator(_somebody)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Part):
    """Raises the tier of a call whose argument meets its one condition. One that can't be evaluated makes it critical.

    `above`: a number over this. `more_than`: a list of more entries, or a text of more mail addresses.
    `new`: a value that no effect of this tool had which is done (spaces and letter case do not matter).
    """

    argument: str
    above: Annotated[Decimal, BeforeValidator(_number), Field(allow_inf_nan=False)] | None = None
    more_than: Annotated[int, Field(strict=True, ge=0)] | None = None
    new: Annotated[StrictBool, AfterValidator(_true)] | None = None
    risk: Risk
    reason: Reason | None = None
    """Shown to the person who is asked; in the rule's own words when it is left out."""

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if sum(one is not None for one in (self.above, self.more_than, self.new)) != 1:
            raise ValueError("write one of above: NUMBER, more_than: NUMBER, new: true")
        return self

    @property
    def words(self) -> str:
        """Why it applies."""
        if self.reason:
            return self.reason
        if self.above is not None:
            return f"{self.argument} is above {self.above}"
        if self.more_than is not None:
            return f"{self.argument} names more than {self.more_than}"
        return f"{self.argument} was never used before"


class ToolPolicy(_Part):
    """What the file says of one tool."""

    risk: Risk | None = None
    """The tool is treated as at least this tier."""
    reason: Reason | None = None
    approvers: Roles | None = None
    """The only roles that may decide its calls; see `Policy.approvers`."""
    four_eyes: StrictBool = False
    """The requester can't approve. At least high, then: at a deadline nobody would have looked."""
    rules: tuple[Rule, ...] = Field((), alias="raise", max_length=50)


class TierPolicy(_Part):
    """What the file says of a tier."""

    approvers: Roles


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a tool says of itself, which a policy must fit."""

    risk: Risk
    arguments: tuple[str, ...]
    recorded: bool
    """Whether its calls are effects in the ledger."""
    gated: bool
    """Whether its arguments must be shown to come from somebody trusted."""
    records: tuple[str, ...]
    """Arguments that name a record."""


class Policy(_Part):
    """A policy file. One that says nothing leaves each tool its own tier, and each tier its own deciders."""

    tiers: dict[Literal["medium", "high", "critical"], TierPolicy] = {}
    tools: dict[str, ToolPolicy] = {}
    trusted: dict[Reason, Directory] = {}

    _file: str = PrivateAttr("")

    @property
    def file(self) -> str:
        """Where it was read from; empty when it came from no file."""
        return self._file

    def approvers(self, tool: str, risk: Risk) -> frozenset[Role] | None:
        """The roles that may decide a call of this tool at this tier; None when the file says nothing of it.

        Where it says something of both tool and tier, a role must be in both. A tier it leaves out is decided by
        those of the next lower one it names, as far as they may decide it at all.
        """
        of_tool = self.tools[tool].approvers if tool in self.tools else None
        named = [roles for roles in (of_tool, self._of_tier(risk)) if roles is not None]
        return frozenset.intersection(*named) if named else None

    def _of_tier(self, risk: Risk) -> frozenset[Role] | None:
        lower = [tier for tier in DECIDED if tier in self.tiers and RISKS.index(tier) <= RISKS.index(risk)]
        if not lower:
            return None
        roles = self.tiers[lower[-1]].approvers
        return roles if lower[-1] == risk else (roles & DECIDERS) or None

    def four_eyes(self, tool: str) -> bool:
        """Whether the requester of a run can't approve this tool's calls."""
        entry = self.tools.get(tool)
        return entry is not None and entry.four_eyes

    def floor(self, tool: str, own: Risk) -> list[tuple[Risk, str]]:
        """Tiers that every call of the tool is at least of, with reasons; `own` is the tool's declared one."""
        entry = self.tools.get(tool)
        if entry is None:
            return []
        tiers: list[tuple[Risk, str]] = []
        if entry.risk or entry.reason:
            tiers.append((entry.risk or own, entry.reason or f"the policy makes it {entry.risk}"))
        if entry.four_eyes:
            tiers.append(("high", "a second person must agree"))
        return tiers

    def vouched(self, tool: str, argument: str, value: Any, shown: Shown) -> str | None:
        """The directory whose entry this argument's value is; None when it is in none that holds for the argument."""
        return trusted_values.named(self.trusted, tool, argument, value, shown)

    def check(self, tools: Mapping[str, Declared]) -> None:
        """Refuse what does not fit these tools, or would loosen them.

        Raises:
            BadSetting: one line with the file, the place in it, and what to write.
        """
        self._check_trusted(tools)
        for name, entry in self.tools.items():
            place = f"tools.{name}"
            declared = tools.get(name)
            if declared is None:
                raise self._bad(place, f"there is no tool {name!r}: see 'ballast tools'")
            self._check_tier(f"{place}.risk", entry.risk, declared.risk, name)
            for number, rule in enumerate(entry.rules, start=1):
                at = f"{place}.raise, rule {number}"
                self._check_tier(f"{at}, risk", rule.risk, declared.risk, name)
                if rule.argument not in declared.arguments:
                    known = ", ".join(declared.arguments) or "no arguments"
                    raise self._bad(f"{at}, argument", f"{name} takes no {rule.argument!r:.80}: it takes {known}")
                if rule.new and not declared.recorded:
                    raise self._bad(f"{at}, new", f"calls of {name} are not recorded, each would be new: use risk")
            for tier in DECIDED[DECIDED.index(declared.risk) if declared.risk in DECIDED else 0 :]:
                if self.approvers(name, tier) == frozenset():
                    raise self._bad(f"{place}.approvers", f"none of them may decide {tier} calls (tiers.{tier})")

    def _check_trusted(self, tools: Mapping[str, Declared]) -> None:
        for name, directory in self.trusted.items():
            for number, place in enumerate(directory.arguments, start=1):
                tool, _, argument = place.partition(".")
                if why := _unfit(tool, argument, tools):
                    raise self._bad(f"trusted.{name}.for, entry {number}", why)

    def _check_tier(self, place: str, risk: Risk | None, own: Risk, name: str) -> None:
        if risk and RISKS.index(risk) < RISKS.index(own):
            fitting = " or ".join(RISKS[RISKS.index(own) :])
            raise self._bad(place, f"{risk} would loosen {name}, which is {own} itself: write {fitting}")

    def _bad(self, place: str, told: str) -> BadSetting:
        return BadSetting(f"BALLAST_POLICY: {', '.join(filter(None, (self._file, place)))}: {told}")


def _unfit(tool: str, argument: str, tools: Mapping[str, Declared]) -> str | None:
    """Why a directory can't hold for an argument."""
    declared = tools.get(tool)
    if declared is None:
        return f"there is no tool {tool!r:.80}: see 'ballast tools'"
    if argument not in declared.arguments:
        return f"{tool} takes no {argument!r:.80}: it takes {', '.join(declared.arguments) or 'no arguments'}"
    if argument in declared.records:
        return f"{argument} names a record of {tool}: only a lookup can give it"
    if not declared.gated:
        return f"{tool} changes nothing and lets nothing out: its arguments may come from anywhere"
    return None


def load(path: Path) -> Policy:
    """Read and check a policy file. `Policy.check` says whether it fits the tools.

    Raises:
        BadSetting: one line with the file, the place in it, and what to write.
    """
    try:
        read = policy_file.read(path)
        policy = Policy.model_validate(read)
    except policy_file.Unreadable as unreadable:
        raise BadSetting(f"BALLAST_POLICY: {path}{unreadable}") from None
    except ValidationError as error:
        place, told = policy_file.fault(error.errors(include_url=False)[0])
        raise BadSetting(f"BALLAST_POLICY: {path}, {place}: {told}") from None
    for name, directory in policy.trusted.items():
        try:
            directory.read(path.parent)
        except policy_file.Unreadable as unreadable:
            told = f"{directory.file!r:.80}{unreadable}"
            raise BadSetting(f"BALLAST_POLICY: {path}, trusted.{name}.file: {told}") from None
    policy._file = str(path)  # noqa: SLF001 - its own; the file's text can't set it
    return policy
