"""Which of the calls that policy or a person let go may run now, and how one that is in doubt is asked about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph.context import Services
from graph.state import RISKS, Call, Risk
from graph.tools import Assessment, Step, ToolResult, Tools
from nodes.pinned import NOT_PEOPLE
from nodes.provenance import Judge

REASON_CHARS = 300
"""What a person is shown of why a call is in doubt, in characters."""


NOTHING_PLANNED: Mapping[str, Mapping[str, Any]] = {}


async def allowed(
    ready: list[Call],
    services: Services,
    thread_id: str,
    judge: Judge,
    planned: Mapping[str, Mapping[str, Any]] = NOTHING_PLANNED,
) -> tuple[list[Call], list[Call], dict[str, str]]:
    """(those that may run, those that must be asked about, why one of the first can't), whatever the state says.

    A state can be edited by hand, copied to another thread, or older than today's rules: a call above low runs
    only by the row that was decided for exactly this call of this thread, and at no higher tier than the row's: what
    a deadline let go, or a person of some role, is asked again when more is at stake now (the policy was tightened,
    or an edit raised it). One in doubt runs by such a row at any tier.

    `planned`: by call, the arguments of those that were planned before anything from outside was read. What a model
    called before is known by itself; a row binds it to the arguments it had.
    """
    rows = {}
    if ids := [call["approval_id"] for call in ready if "approval_id" in call]:
        rows = {row.id: row for row in await services.approvals.get_all(ids)}
    may_run: list[Call] = []
    held: list[Call] = []
    faults: dict[str, str] = {}
    decided: list[Call] = []
    for call in ready:
        found = await services.tools.assess(call["name"], call["args"])
        row = rows.pop(call.get("approval_id", ""), None)  # it lets one call run, however often the state lists it
        allowed = bool(row and row.allows(call, thread_id))
        if "effect_key" in call and not allowed:
            held.append({**call, "risk": _at_least_high(found), "status": "ask"})
            continue
        if found.error:
            faults[call["id"]] = found.error
        # A person saw each value, and may have written it; a deadline has seen nothing, and of another call nobody has.
        seen = allowed and row is not None and row.decided_by not in NOT_PEOPLE
        before = planned.get(call["id"], call["args"] if call.get("unread") else None)
        risk, reason = (found.risk, found.reason) if seen else judge.raised(call["name"], found, planned=before)
        if seen:
            decided.append(call)
        if found.error or risk == "low" or (row and allowed and not _above(risk, row.risk)):
            may_run.append(call)
        else:
            held.append({**call, "risk": risk, "reason": reason, "status": "ask"})
    for call in decided:  # what a deadline let go comes before them: when it was judged nobody had decided
        judge.began(call["name"], call["args"])
    return may_run, held, faults


async def run_released(call: Call, fault: str | None, tools: Tools, step: Step, *, occurrence: int) -> ToolResult:
    """Run a call that may run; of one that can't for this fault, what the ledger has of it, or the fault."""
    if fault:
        left = await tools.earlier(call, step, occurrence=occurrence)
        return left or ToolResult(text=fault, untrusted=False, ok=False)
    return await tools.run(call, step, occurrence=occurrence)


def _above(one: Risk, other: Risk) -> bool:
    return RISKS.index(one) > RISKS.index(other)


async def doubtful(call: Call, result: ToolResult, services: Services) -> Call:
    """The call as a person is asked about it. Nothing lets it run by itself, whatever its tier."""
    found = await services.tools.assess(call["name"], call["args"])
    why = " ".join(result.text.split())[:REASON_CHARS]
    return {
        **call,
        "risk": _at_least_high(found),
        "reason": f"in doubt: {why or 'an earlier attempt was cut off'}; it may have happened",
        "status": "ask",
        "effect_key": result.doubt or "",
        "effect_holder": result.holder,
    }


def _at_least_high(found: Assessment) -> Risk:
    """A tool that is gone counts as high: that it can't run is told to whoever retries it."""
    return "high" if found.error else max(found.risk, "high", key=RISKS.index)
