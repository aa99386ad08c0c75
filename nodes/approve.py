"""approve: one interrupt for every call that waits for a person. It only asks; the rows decide."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Interrupt, interrupt

from graph.approvals import Approval, Question
from graph.context import Run
from graph.errors import AlreadyDecided, InvalidDecision
from graph.provenance import Wanted
from graph.state import Call, State, as_new, request_id
from nodes import decisions, notices, origins
from nodes.finish import totals
from services.totals import of_thread


async def approve(state: State, runtime: Runtime[Run], config: RunnableConfig) -> dict[str, Any]:
    """Ask a person about every undecided call, and take over what was decided.

    Executed again from the top on every resume: all that happens before `interrupt()` is an idempotent
    upsert. A decision taken elsewhere (command line, another client) is found in the rows.
    """
    run, info = runtime.context, runtime.execution_info
    asked = [call for call in state["calls"] if call["status"] == "ask"]
    if not run.durable or info is None or info.thread_id is None:
        names = ", ".join(call["name"] for call in asked)
        return {
            "outcome": "blocked",
            "reason": f"{names} needs a person's approval, and a run without a thread can't wait for one: "
            "start it on a thread",
        }

    approvals = run.services.approvals
    if notice := await _notice(run, state, asked, info.thread_id):
        return {"messages": [notice]}
    question = Question(
        thread_id=info.thread_id,
        checkpoint_id=info.checkpoint_id,
        interrupt_id=Interrupt.from_ns(None, ns=config["configurable"]["checkpoint_ns"]).id,
        turn=request_id(state["messages"]),
        window_s=run.context(state).approval_seconds,
        origins=origins.of_calls(asked, state),
    )
    seen = await _seen(run, question)
    shown = await approvals.ask(asked, question)
    lost: list[str] = []
    refused: dict[str, str] = {}
    answer = run.answer_to(question.interrupt_id)
    # Decided elsewhere and not answered here, there is nothing to wait for: what is decided goes on at once.
    if answer is not None or all(row.status == "pending" for row in shown):
        outcome = decisions.waiting_as(row.risk for row in shown)
        await run.services.records.stands(info.thread_id, outcome, of_thread(state))
        run.services.telemetry.annotate_run(**totals(state, outcome))
        stored = interrupt(decisions.request(shown, asked))
        # A checkpoint keeps the first answer it was given; this run may have come with another.
        unclear = run.unclear or ("" if seen in (None, [row.id for row in shown]) else decisions.ANOTHER)
        taken = decisions.match(stored if answer is None else answer, shown, unclear=unclear)
        refused = {row.id: taken.problem for row in shown if taken.problem}
        for row, decision in taken.decisions:
            try:
                checked = await decisions.checked(row, decision, run.services.tools)
                await approvals.decide(row.id, checked, by=decisions.sender(config))
            except AlreadyDecided as late:
                lost.append(str(late))
            except InvalidDecision as problem:
                refused[row.id] = str(problem)
        shown = await approvals.ask(asked, question)
    run.services.telemetry.annotate(
        decisions=[
            {"tool": r.tool, "risk": r.risk, "reason": r.reason, "status": r.status, "by": r.decided_by} for r in shown
        ]
    )
    await approvals.apply([row.id for row in shown if row.status != "pending"])
    taken_over = _take_over(state["calls"], {row.call_id: row for row in shown}, refused)
    if any(row.status == "rejected" for row in shown):
        taken_over["wanted"] = Wanted(request=request_id(state["messages"]), calls={}, rejected=True)
    return {**taken_over, "lost": lost}


async def _notice(run: Run, state: State, asked: list[Call], thread_id: str) -> AIMessage | None:
    """What somebody is told who wrote while these calls wait, before they are asked about again."""
    newest = state["messages"][-1]
    if not isinstance(newest, HumanMessage) or run.answers or run.bare_answer is not None:
        return None
    notice = notices.waiting(asked, newest)
    if any(message.id == notice.id for message in state["messages"]):
        return None  # it would take that one's place, and the newest would be a person's for ever
    waiting = {call["id"] for call in asked}
    rows = [row for row in await run.services.approvals.asked_by(thread_id) if row.call_id in waiting]
    return notice if all(row.status == "pending" for row in rows) else None


async def _seen(run: Run, question: Question) -> list[str] | None:
    """The list that whoever sent a bare answer can have seen; None when the answer names its question."""
    if run.bare_answer is None:
        return None
    approvals, thread_id = run.services.approvals, question.thread_id
    at_checkpoint = await approvals.asked_by(thread_id, checkpoint_id=question.checkpoint_id)
    return [row.id for row in at_checkpoint or await approvals.asked_by(thread_id)]


def _take_over(calls: list[Call], rows: dict[str, Approval], refused: dict[str, str]) -> dict[str, Any]:
    """What the rows say, as a state update."""
    left: list[Call] = []
    messages: list[ToolMessage] = []
    for call in calls:
        row = rows.get(call["id"])
        if row is None:
            left.append(call)
        elif row.status == "pending":
            left.append({**call, "refused": refused.get(row.id, "")})
        elif row.releases:
            left.append(_released(call, row))
        else:
            messages.append(decisions.told(row))
    update: dict[str, Any] = {"calls": left, "messages": messages}
    stopped = next((row for row in rows.values() if row.status == "cancelled"), None)
    if stopped:
        update |= {"outcome": "cancelled", "reason": f"{stopped.tool} was cancelled by {stopped.decided_by}"}
    return update


def _released(call: Call, row: Approval) -> Call:
    """What the row lets run: its own arguments, or a person's edit of them."""
    own = call if row.effect_key else as_new(call)  # what it names is no effect of this thread
    released: Call = {**own, "args": row.args, "status": "ready", "approval_id": row.id}
    if row.status == "edited" and row.decision:
        released["args"] = row.decision["args"]
        released["note"] = f"A person changed the arguments to {row.decision['args']}; this is what ran."
    return released
