"""The request a person is shown and the answers they may give, in both shapes clients use.

LangChain's HITL: `{"decisions": [{"type": "approve" | "edit" | "reject" | "respond", ...}]}`.
agent-inbox: `[{"type": "accept" | "edit" | "response" | "ignore", "args": ...}]`; on `accept` and `edit` its `args`
are the call as it was shown (or edited): {"action": TOOL, "args": {...}}.
Positions refer to the actions as they were shown; a decision may name its action by `approval_id` instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig

from graph.approvals import Approval, same_arguments
from graph.errors import InvalidDecision
from graph.state import Call, Outcome, Risk
from graph.tools import Tools
from services.links import defused
from tools.arguments import canonical

TYPES = ("approve", "edit", "reject", "respond", "cancel")
"""The decisions of a request's own vocabulary."""

ANOTHER = "it was given to another question than this one"
"""Why a bare answer is not taken when what is asked has changed since its sender was shown it."""

IN_DOUBT = "in_doubt"
"""Key in the artifact (no provider is sent it) of a result that says a call was left in doubt: its arguments."""

SENDER = "langgraph_auth_user_id"
"""Where the server puts in a config's `configurable` whom it has identified; what a client sends there is replaced."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""A character of code 0 as JSON spells it, not the same letters in a text."""

_INBOX_TYPES = {"accept": "approve", "response": "respond", "ignore": "reject"}
_DOUBT_TYPES = {"approve": "retry", "respond": "done", "reject": "abandon"}
"""What the request's vocabulary means for an effect in doubt. An `approve` that was not given to this very
question (`ballast approvals approve`) is not taken for a `retry`."""


def request(shown: Sequence[Approval], calls: Sequence[Call] = ()) -> dict[str, Any]:
    """The interrupt's value: LangChain's HITL request, each action with both `args` and `arguments`."""
    refused = {call["id"]: call.get("refused", "") for call in calls}
    return {
        "action_requests": [
            {
                "name": row.tool,
                "args": row.args,
                "arguments": row.args,
                "description": describe(row, refused.get(row.call_id, "")),
                "approval_id": row.id,
                "risk": row.risk,
                "deadline": row.deadline.isoformat() if row.deadline else None,
            }
            for row in shown
        ],
        "review_configs": [{"action_name": row.tool, "allowed_decisions": _review_types(row)} for row in shown],
    }


def waiting_as(risks: Iterable[Risk]) -> Outcome:
    """How a run that waits for these calls stands: with nothing but critical ones it is a person's turn to act."""
    return "handed_to_person" if all(risk == "critical" for risk in risks) else "awaiting_approval"


def _review_types(row: Approval) -> list[str]:
    """In the request's own vocabulary, which has no `done`: a `respond` reports a critical call as done."""
    if row.risk == "critical":
        return ["respond", "reject"]
    return ["approve", "respond", "reject"] if row.effect_key else ["approve", "edit", "reject", "respond"]


def describe(row: Approval, refused: str = "") -> str:
    """Why this call waits, and why an earlier answer was not taken, for a person: no address in it is a link."""
    ends = {
        "critical": " The agent never runs this. Do it yourself and respond with what you did: any response says that "
        "it is done. Or reject it.",
        "medium": f" Deadline {row.deadline:%Y-%m-%d %H:%M:%S} UTC." if row.deadline else "",
    }
    if row.effect_key:
        retry = "" if row.risk == "critical" else " approve if it did not happen and is to be tried again (retry),"
        ends = {row.risk: f" Look, then{retry} respond with its result if it happened (done), or reject (abandon)."}
    again = f" Your last answer was not taken: {refused}." if refused else ""
    return defused(f"{row.risk}: {row.reason}.{ends.get(row.risk, '')}{again}")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What an answer decides of the calls that were shown."""

    decisions: Sequence[tuple[Approval, dict[str, Any]]] = ()
    problem: str = ""
    """Why the rest of it decides nothing, in words for its sender."""


def match(answer: Any, shown: Sequence[Approval], *, unclear: str = "") -> Taken:
    """Pair each decision with the call it names by `approval_id`, else with the one at its position.

    `unclear` says why positions can't be trusted; then only decisions that name their call count.

    `None` at a position leaves that call undecided. Anything else that is no decision, or is for a call that
    was not shown, decides nothing.
    """
    given = listed(answer)
    if given is None:
        return Taken(problem='an answer is {"decisions": [{"type": "approve"}, ...]}, one for each call in order')
    by_id = {row.id: row for row in shown}
    found, problem = [], ""
    for position, decision in enumerate(given):
        if decision is None:
            continue
        if not isinstance(decision, Mapping) or not isinstance(decision.get("type"), str):
            problem = f"decision {position + 1} has no type: it is one of {', '.join(TYPES)}"
            continue
        named = decision.get("approval_id")
        if unclear and named is None:
            problem = unclear
            continue
        row = by_id.get(str(named)) if named is not None else next(iter(shown[position : position + 1]), None)
        shown_call = call_in(decision) if named is None else None
        if row is None or (shown_call and not is_about(decision, row)):
            what = named or (shown_call or ("no such position",))[0]
            problem = f"decision {position + 1} is for a call that was not asked here ({what})"
            continue
        plain = _plain(decision)
        if row.effect_key:
            plain["type"] = _DOUBT_TYPES.get(plain["type"], plain["type"])
        found.append((row, plain))
    return Taken(decisions=found, problem=problem)


def listed(answer: Any) -> list[Any] | None:
    """The decisions of an answer in either shape; None when it has neither."""
    given = answer.get("decisions", [answer]) if isinstance(answer, Mapping) else answer
    return given if isinstance(given, list) else None


def call_in(decision: Any) -> tuple[str, Mapping[str, Any]] | None:
    """The tool and arguments that agent-inbox sends back with `accept` and `edit`; other answers hold no call."""
    sent = decision.get("args") if isinstance(decision, Mapping) else None
    if not isinstance(sent, Mapping) or set(sent) != {"action", "args"}:
        return None
    tool, args = sent["action"], sent["args"]
    return (tool, args) if isinstance(tool, str) and isinstance(args, Mapping) else None


def is_about(decision: Any, row: Approval) -> bool:
    """Whether the call in a decision can be this one. Of an edited call only the tool can be told.

    To JavaScript 38.0 is 38: it comes back so.
    """
    tool, args = call_in(decision) or ("", {})
    if tool != row.tool:
        return False
    return decision.get("type") == "edit" or same_arguments(canonical(args), canonical(row.args))


def _plain(decision: Mapping[str, Any]) -> dict[str, Any]:
    """One decision as {"type", "args"?, "message"?}."""
    kind = _INBOX_TYPES.get(decision["type"], decision["type"])
    plain: dict[str, Any] = {"type": kind}
    edited = decision.get("edited_action")
    inbox = decision.get("args")
    if kind == "edit":
        if isinstance(edited, Mapping):
            plain["tool"], source = edited.get("name"), edited.get("args", edited)
        else:
            plain["tool"], source = call_in(decision) or (None, inbox)
        if isinstance(source, Mapping):
            plain["args"] = source
    elif message := decision.get("message") or (inbox if isinstance(inbox, str) else None):
        plain["message"] = str(message)
    return plain


async def checked(row: Approval, decision: Mapping[str, Any], tools: Tools) -> dict[str, Any]:
    """The decision as it may be recorded.

    Raises:
        InvalidDecision: this tier does not allow it, it names another tool, the edit does not fit, or it holds what
            is no text.
    """
    kind = str(decision["type"])
    if row.risk == "critical" and kind == "respond":
        kind = "done"
    if kind not in row.choices:
        what = f"{row.risk}, in doubt" if row.effect_key else row.risk
        raise InvalidDecision(f"{kind} is no decision for {row.tool} ({what}): use one of {', '.join(row.choices)}")
    if kind != "edit":
        message = decision.get("message")
        return _storable({"type": kind, **({"message": str(message)} if message else {})})
    if decision.get("tool") not in (None, row.tool):
        raise InvalidDecision(f"an edit may change the arguments of {row.tool}, not the tool: reject it instead")
    args = decision.get("args")
    if not isinstance(args, Mapping):
        raise InvalidDecision("an edit needs the new arguments as a JSON object")
    found = await tools.assess(row.tool, {name: _read(value, row.args.get(name)) for name, value in args.items()})
    if found.error or found.risk == "critical":
        raise InvalidDecision(
            found.error or f"the edit makes {row.tool} critical ({found.reason}): do it yourself instead",
            faults=found.faults,
        )
    return _storable({"type": "edit", "args": found.args})


def _storable(decision: dict[str, Any]) -> dict[str, Any]:
    """The decision, if Postgres takes it: it refuses what is no Unicode, no number of JSON, and the character 0."""
    try:
        text = json.dumps(decision, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        text = None
    if text is None or _NUL.search(text):
        raise InvalidDecision("it holds a character or a number that can't be stored (NUL, half of one, no finite one)")
    return decision


def _read(value: Any, asked: Any) -> Any:
    """A field of an edit. Pages show what is no text or number as JSON, and send it back so."""
    if not isinstance(value, str) or not (asked is None or isinstance(asked, (list, dict))):
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):  # no JSON, or nested too deep for a reader
        return value
    return read if type(read) is type(asked) else value


def sender(config: RunnableConfig) -> str:
    """Who sent a request or an answer: whom the server, or the command line, has identified."""
    return str(config.get("configurable", {}).get(SENDER) or "client")


def told(row: Approval) -> ToolMessage:
    """What the model is told of a call that will not run."""
    said = (row.decision or {}).get("message")
    texts = {
        "rejected": f"A person rejected this call: {said or 'no reason given'}. Do not try it again.",
        "cancelled": "A person cancelled this call and stopped the run.",
        "expired": "This call was to go out by itself, but nothing ran it in time: it expired and was not run.",
        "responded": said or "",
        "done": f"A person did this themselves: {said or 'reported done'}.",
    }
    good = row.status in ("responded", "done")
    if row.effect_key:
        texts, good = _told_of_doubt(row, said)
    return ToolMessage(
        texts.get(row.status, f"This call was not run: {row.status}."),
        tool_call_id=row.call_id,
        name=row.tool,
        id=f"r-{row.call_id}",
        status="success" if good else "error",
        artifact={IN_DOUBT: row.args} if _left_in_doubt(row) else None,
    )


def _left_in_doubt(row: Approval) -> bool:
    return bool(row.effect_key) and row.status == "cancelled" and not (row.decision or {}).get("ledger")


def _told_of_doubt(row: Approval, said: str | None) -> tuple[dict[str, str], bool]:
    """Texts by status, and whether the effect is there. A ledger that knew better is believed."""
    if ledger := (row.decision or {}).get("ledger"):
        stands = {"done": "it happened", "failed": "it did not happen"}.get(ledger, "another run is at it")
        return {row.status: f"This was settled before a person decided: {stands}."}, ledger == "done"
    return {
        "cancelled": "This was cut off and may have happened. A person left it so and stopped the run: its row in the "
        "effect ledger stays unknown.",
        "done": f"This happened, as a person found: {said or 'no more is known'}.",
        "abandoned": "This was cut off and may have happened. A person gave it up: "
        f"{said or 'no reason given'}. Do not try it again.",
    }, row.status == "done"
