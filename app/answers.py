"""Answers that come with a run: taken where they arrive, so that whoever is too late is told so at once.

The run that is asked for then only goes on with what was decided: it needs no answer, and no checkpoint to fork from.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from langgraph.types import Command

from app.deciding import allowed
from app.lifespan import Opened
from checkpoints import jobs
from checkpoints.approvals import PostgresApprovals
from graph.approvals import Approval
from graph.client_input import Answer, answer_in
from graph.durable import UNCLEAR
from graph.errors import AlreadyDecided, InvalidDecision, NotFound, Unanswerable
from graph.people import Person
from nodes import decisions

SEVERAL = (
    "this thread has asked about {tool} more than once, and the answer does not say which it means: "
    "resume by interrupt id, or from the checkpoint you were shown"
)

PLACE = ("checkpoint_id", "checkpoint_ns", "checkpoint_map")
"""Where in `configurable` a client names the checkpoint it was shown."""


async def take(opened: Opened, person: Person, thread_id: str, asked_for: MutableMapping[str, Any]) -> None:
    """Take the answer in a run's `command`, all of it or none, and leave a run that goes on.

    Raises:
        AlreadyDecided: of what its sender was shown something was decided before.
        NotFound: nothing has run on the thread.
        Unanswerable: nothing waits, or the answer could mean another question than the open one.
        Forbidden: the person may not take such a decision.
        InvalidDecision: it has the wrong shape, or does not fit the call.
    """
    command = asked_for.get("command") or {}
    configurable = (asked_for.get("config") or {}).get("configurable") or {}
    if not isinstance(command, Mapping) or command.get("resume") is None:
        await _catch_up(opened.approvals, thread_id, configurable, brings_on=bool(command or asked_for.get("input")))
        return
    if await opened.owners.of(thread_id) is None:  # deleted, or not begun: a run that waits to begin may ask yet
        raise NotFound("question", thread_id, "nothing has run on this thread: send a request, read what it asks")
    answer = answer_in(Command(resume=command["resume"]))
    taken: list[tuple[str, dict[str, Any]]] = []
    for given, shown in await _questions(opened, thread_id, answer, configurable.get("checkpoint_id")):
        taken += await _checked(opened, person, given, shown)
    chosen = dict(taken)
    if len(chosen) < len(taken):
        raise InvalidDecision("the answer decides a call more than once: say one thing of each")
    if chosen:
        await opened.approvals.decide_all(chosen, by=person.name, grace_s=jobs.GRACE_S)
    asked_for["command"] = {**command, "resume": None} if command.get("update") or command.get("goto") else None
    asked_for["input"] = None  # beside a command the server reads none, and agent-chat-ui sends an empty one
    _where_it_stands(configurable)


async def _catch_up(
    approvals: PostgresApprovals, thread_id: str, configurable: MutableMapping[str, Any], *, brings_on: bool
) -> None:
    """A message, or an end, is for the thread as it stands, not for a question that it has gone on from.

    agent-chat-ui names the newest checkpoint it has seen with all it sends, and a timer, or somebody elsewhere, moves
    a thread on: a fork from there would ask anew what was decided, and drop what is asked now. Without a message it is
    a replay, which a person has asked for.
    """
    seen = configurable.get("checkpoint_id")
    if brings_on and seen and await approvals.passed(thread_id, str(seen)):
        _where_it_stands(configurable)


def _where_it_stands(configurable: MutableMapping[str, Any]) -> None:
    """Leave out where to go on from: a fork would lose what came since."""
    for name in PLACE:
        configurable.pop(name, None)


async def _questions(
    opened: Opened, thread_id: str, answer: Answer, checkpoint_id: str | None
) -> list[tuple[Any, list[Approval]]]:
    """Each part of the answer with the calls its sender was shown."""
    approvals = opened.approvals
    if answer.by_id:
        parts = [
            (given, await approvals.asked_by(thread_id, interrupt_ids=[name])) for name, given in answer.by_id.items()
        ]
    elif checkpoint_id:
        parts = [(answer.bare, await approvals.asked_by(thread_id, checkpoint_id=checkpoint_id))]
    else:
        parts = await _by_what_it_says(approvals, thread_id, answer.bare)
    for _, shown in parts:
        if not shown:
            raise Unanswerable(f"thread {thread_id} has no such question: read its state, and answer what it asks now")
    return parts


async def _by_what_it_says(
    approvals: PostgresApprovals, thread_id: str, answer: Any
) -> list[tuple[Any, list[Approval]]]:
    """The calls of an answer that names neither its question nor a checkpoint.

    agent-inbox sends back the call it showed. While the thread has asked about no other like it, that names it:
    however old the page is, its answer is for no other question.
    """
    times = await approvals.times_asked(thread_id)
    given = decisions.listed(answer) or []
    if given and all(decisions.call_in(one) for one in given):
        rows = await approvals.find(thread_id=thread_id)
        return [([one], _like(one, rows, times)) for one in given]
    if times > 1:
        raise Unanswerable(UNCLEAR.format(times=times))
    return [(answer, await approvals.asked_by(thread_id))]


def _like(decision: Any, rows: Sequence[Approval], times: int) -> list[Approval]:
    """The row, of a thread's with the pending ones first, that a decision's call is: a pending one, else the newest.

    Raises:
        Unanswerable: the thread has asked about several such calls one after the other, and this can be an older one.
    """
    same = [row for row in rows if decisions.is_about(decision, row)]
    together = times <= 1 and all(row.status == "pending" for row in same)
    if len(same) > 1 and same[0].status == "pending" and not together:
        raise Unanswerable(SEVERAL.format(tool=same[0].tool))
    return same[:1] if same and same[0].status == "pending" else same[-1:]


async def _checked(
    opened: Opened, person: Person, given: Any, shown: Sequence[Approval]
) -> list[tuple[str, dict[str, Any]]]:
    """The decisions with approval ids. Positions count only while all that was shown is still open."""
    taken = decisions.match(given, shown)
    if taken.problem:
        raise InvalidDecision(taken.problem)
    for row in shown if not _by_name(given) else [row for row, _ in taken.decisions]:
        if row.status != "pending":
            raise AlreadyDecided(row)
    return [(row.id, await allowed(opened, person, row, decision)) for row, decision in taken.decisions]


def _by_name(given: Any) -> bool:
    """Whether each decision names its call: then it means that one, whatever became of the others."""
    listed = decisions.listed(given)
    return listed is not None and all(isinstance(one, Mapping) and "approval_id" in one for one in listed)
