"""The typed state of a run, and how updates to it are merged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage, RemoveMessage, convert_to_messages
from langgraph.channels.delta import DeltaChannel
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from typing_extensions import TypedDict  # typing's own has no schema before Python 3.12

from graph.facts import Fact, add_facts, add_lines
from graph.guards import Finding, Guarded, add_findings
from graph.plan import Planned
from graph.provenance import Origin, Wanted, add_origins

Risk = Literal["low", "medium", "high", "critical"]
"""How much is at stake in a call: low runs, medium runs at its deadline unless cancelled, high asks,
critical is for people only."""

RISKS: tuple[Risk, ...] = ("low", "medium", "high", "critical")
"""The tiers, lowest first."""

Outcome = Literal[
    "completed",
    "awaiting_approval",
    "handed_to_person",
    "stopped_iterations",
    "stopped_tool_calls",
    "stopped_tokens",
    "stopped_cost",
    "stopped_deadline",
    "plan_rejected",
    "model_failed",
    "tool_failed",
    "blocked",
    "cancelled",
]
"""How a run stands when it stops. `awaiting_approval` and `handed_to_person` can be resumed."""

SNAPSHOT_EVERY = 2_000
"""Updates between two full copies of the history. Each copy costs the whole history once more; each
update in between costs one row read at resume (about 20 us). History compression keeps the copies small."""


class Call(TypedDict):
    """One tool call of the last reply that has no result yet."""

    id: str
    """The model's id for the call: pairs the result with it."""
    name: str
    args: dict[str, Any]
    """What will run: the model's arguments, or a person's edit of them."""
    risk: Risk
    reason: str
    """Why this tier, in words for a person; empty for low."""
    status: Literal["ready", "ask"]
    """`ready` may run now; `ask` waits for a person."""
    approval_id: NotRequired[str]
    """The approval row that lets the call run; `act` asks the row, not this state."""
    note: NotRequired[str]
    """What the model is told beside the result, such as that a person edited the arguments."""
    refused: NotRequired[str]
    """Why the last answer to the question was not taken; empty when there was none. Shown when asked again."""
    unread: NotRequired[bool]
    """Set when it was made before anything a stranger wrote was read: nobody outside had a say in it."""
    effect_key: NotRequired[str]
    """Set when the call has run and may have had its effect: the ledger's key of that effect. It runs again only
    under this key, and only when a person says in its approval row that it did not happen."""
    effect_holder: NotRequired[str]
    """The attempt at that effect that is in doubt."""


def as_new(call: Call) -> Call:
    """The call without the effect it names: one that has not run."""
    plain = call.copy()
    plain.pop("effect_key", None)
    plain.pop("effect_holder", None)
    return plain


class RawResult(TypedDict):
    """Untrusted tool output on its way to `sanitize`; never part of `messages`."""

    call_id: str
    tool: str
    text: str
    ok: bool
    note: NotRequired[str]
    about: NotRequired[str]
    """The arguments of the call."""
    whole: NotRequired[str]
    """See `graph.tools.ToolResult`."""


class Usage(TypedDict):
    """What the run has spent so far."""

    iterations: int
    """Passes through `reason`."""
    turns: int
    """Requests to the agent's model, failed ones included: turn k of a script answers request k."""
    plans: int
    """The same to the planner."""
    extracts: NotRequired[int]
    """Texts that an extractor was to read: entry k of a script's `extractor` answers number k."""
    folds: int
    """Times the history was folded: entry k of a script's `summarizer` answers fold k."""
    model_calls: int
    """Calls to any model: the agent's, the summarizer's."""
    tool_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    """A model without a known price is refused before a run starts."""
    seconds: float
    """Time spent in nodes. Waiting for a person is free."""
    by_tool: dict[str, int]
    """Calls of each tool."""
    done: dict[str, int]
    """Those of them that succeeded: results are folded away, what was done is not forgotten."""
    faults: dict[str, int]
    """What went wrong on the way and was dealt with, counted by kind: see `nodes/faults.py`."""
    strikes: int
    """Replies in a row that could not be used: which member of the chain is asked next follows from it."""
    same: str
    """Digest of the last calls and of the results they were made upon."""
    repeats: int
    """How many replies in a row had that digest."""


class Totals(TypedDict):
    """What several runs of a thread have spent together, counted as in `Usage`."""

    runs: int
    iterations: int
    model_calls: int
    tool_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    seconds: float


def no_usage() -> Usage:
    """A run that has spent nothing yet."""
    return Usage(
        iterations=0,
        turns=0,
        plans=0,
        folds=0,
        model_calls=0,
        tool_calls=0,
        prompt_tokens=0,
        completion_tokens=0,
        cost_usd=0.0,
        seconds=0.0,
        by_tool={},
        done={},
        faults={},
        strikes=0,
        same="",
        repeats=0,
    )


def reduce_messages(history: list[AnyMessage], updates: Sequence[Any]) -> list[AnyMessage]:
    """Fold `updates` into `history`, one after the other.

    Each update is a message, a dict or tuple that stands for one, or a list of those. A message whose
    id is known replaces that message in place, a `RemoveMessage` takes it out (an unknown id is
    ignored), everything else is appended.

    `DeltaChannel` replays updates in other batches than they were made in, so the result depends on
    their order alone: ids missing from the input are derived from content and position, never random.
    """
    new = list(_flatten(updates))
    if _only_appends(history, new):
        return [*history, *new]  # type: ignore[list-item]  # convert_to_messages types its result wider
    merged: dict[str | None, AnyMessage] = {message.id: message for message in history}
    for message in new:
        if isinstance(message, RemoveMessage):
            if message.id == REMOVE_ALL_MESSAGES:
                merged.clear()
            else:
                merged.pop(message.id, None)
            continue
        if message.id is None:
            seed = f"{len(merged)}\0{message.type}\0{message.content!r}"
            message.id = "m" + hashlib.sha256(seed.encode()).hexdigest()[:16]
        merged[message.id] = message  # type: ignore[assignment]  # as above
    return list(merged.values())


def request_id(messages: Sequence[AnyMessage]) -> str:
    """Id of the message a run works on: with it a turn begins. Empty when there is none."""
    request = newest_request(messages)
    return (request.id if request else None) or ""


def newest_request(messages: Sequence[AnyMessage]) -> HumanMessage | None:
    """What a person wrote last."""
    return next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)


def _only_appends(history: Sequence[AnyMessage], new: Sequence[BaseMessage]) -> bool:
    """As in nearly every step: nothing is removed, and no id is missing, known, or there twice."""
    ids = {message.id for message in new if message.id is not None and not isinstance(message, RemoveMessage)}
    return len(ids) == len(new) and ids.isdisjoint(map(attrgetter("id"), history))


def _flatten(updates: Iterable[Any]) -> Iterable[BaseMessage]:
    for update in updates:
        yield from convert_to_messages(update if isinstance(update, list) else [update])


def merge_counts(known: dict[str, int] | None, new: dict[str, int]) -> dict[str, int]:
    """The latest count of each key."""
    return {**(known or {}), **new}


def keep_settings(known: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """A thread keeps what it was started with; later runs change only what they set explicitly."""
    return {**(known or new["defaults"]), **new["explicit"]}


class Input(TypedDict):
    """What a client sends to start a run: one or more messages."""

    messages: Annotated[list[AnyMessage], DeltaChannel(reduce_messages, snapshot_frequency=SNAPSHOT_EVERY)]
    """The conversation. Stored by deltas: a step writes its new messages, not the list."""

    settings: NotRequired[Annotated[dict[str, Any], keep_settings]]
    """Model chain, workspace and limits, so that whoever resumes the thread needs no flags. Filled in
    by the graph; what a client sends here is dropped."""


class Pending(TypedDict, total=False):
    """What is still to be done. A router that asks for no more is not shown, at each step, the whole history."""

    calls: list[Call]
    """Calls of the last reply that have no result yet."""

    untrusted: list[RawResult]
    """Output of tools marked `untrusted_output`, until `sanitize` has cleaned it."""

    outcome: Outcome | None
    """How the run ended; None while it goes on."""


class PlanPending(Pending, Planned, total=False):
    """The same in the `plan` graph."""


class State(Input, PlanPending, Guarded, total=False):
    """Everything a run knows. A field without a reducer is replaced by what a node returns for it."""

    summary: Annotated[str, DeltaChannel(add_lines, str, snapshot_frequency=SNAPSHOT_EVERY)]
    """What the history folded away so far said, one fact a line. Derived from untrusted text: shown as data only."""

    facts: Annotated[list[Fact], DeltaChannel(add_facts, snapshot_frequency=SNAPSHOT_EVERY)]
    """What of it stays word for word: people's decisions, lines with ids and amounts, what can be opened again."""

    origins: Annotated[list[Origin], DeltaChannel(add_origins, snapshot_frequency=SNAPSHOT_EVERY)]
    """What of results later arguments may come from, though a stranger's texts stood beside it."""
    outside: bool
    """Set for good once anything a stranger wrote was read on the thread."""
    wanted: Wanted
    """What the newest request that was read asks for."""

    findings: Annotated[list[Finding], add_findings]
    """What the injection detector and the guards have seen in this thread."""

    lost: list[str]
    """Decisions of the last answer that came too late: what was decided instead, by whom and when."""

    intents: Annotated[dict[str, int], merge_counts]
    """How many times each effect (by digest of tool and arguments) was started on this branch."""

    usage: Usage
    """What the current run has spent."""

    earlier: Totals
    """What the runs before it have spent, on this branch. A thread that has only one has none of it."""

    reason: str
    """One line on the outcome: which limit, which error."""

    answer: str
    """The final answer, or the best partial one."""
