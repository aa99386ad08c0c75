"""finish: every run ends here, in one typed outcome with the best answer there is."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime

from graph.context import Run
from graph.state import Call, Outcome, State, no_usage
from nodes.decisions import IN_DOUBT
from nodes.guarding import guarding_at
from nodes.notices import is_notice
from nodes.provenance import judge_of
from nodes.saying import safe_words
from services.totals import of_thread

NOT_DONE, MAY_HAVE_RUN = "Not done", "May have run (ballast effects knows)"
IN_DOUBT_STILL, SETTLED = "In doubt, may have happened", "Settled by a person, then not followed"

STOPPED = "Stopped: {why}."
WITHHELD = "Stopped: {why}. What was said before is not shown: {denied}."

TOLD = {
    NOT_DONE: "Not run",
    MAY_HAVE_RUN: "It may have run: the step broke before its result came",
    IN_DOUBT_STILL: "This was cut off and may have happened; nobody settled it",
    SETTLED: "This was cut off and a person settled it; the run ended before a result of what they decided came",
}
"""How a call without a result stands, as a person is told it, and what the model is told."""


async def finish(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Give the answer, or what was reached and what was left when the run was stopped."""
    left = state.get("calls", [])
    info = runtime.execution_info
    if left and info and info.thread_id:
        await runtime.context.services.approvals.close(info.thread_id)
    services = runtime.context.services
    why = state.get("reason") or state.get("outcome") or "the run ended"
    answer = _answer(state, left, why)
    if state.get("outcome") != "completed":  # it tells of calls, with arguments of whoever had a say in them
        answer = safe_words(answer, judge_of(state, services.tools, runtime.context.context(state)))
    guarded: dict[str, Any] = {}
    if state.get("outcome") != "completed" and answer != STOPPED.format(why=why) and services.guards.on("output"):
        guarding = guarding_at(runtime, "finish", {**state, "outcome": None})  # of the run that ends here
        ruling = await guarding.said(answer)
        answer = WITHHELD.format(why=why, denied=ruling.denied) if ruling.denied else ruling.text
        guarded = {**guarding.update(), **await guarding.spent()}
        state = {**state, "usage": guarded["usage"]}
    if info and info.thread_id:
        await services.records.stands(info.thread_id, state.get("outcome"), of_thread(state))
    services.telemetry.annotate_run(**totals(state, state.get("outcome")))
    return {
        **guarded,
        "answer": answer,
        "calls": [],
        **({"untrusted": []} if state.get("untrusted") else {}),
        "messages": [not_run(call, why, broken=_broke(state)) for call in left],
    }


def totals(state: State, outcome: Outcome | None) -> dict[str, Any]:
    """What the root of a trace says of the whole run."""
    usage = state.get("usage") or no_usage()
    return {
        "outcome": outcome,
        "iterations": usage["iterations"],
        "tool_calls": usage["tool_calls"],
        "prompt_tokens": usage["prompt_tokens"],
        "completion_tokens": usage["completion_tokens"],
        "cost_usd": usage["cost_usd"],
    }


def _answer(state: State, left: list[Call], why: str) -> str:
    if state.get("outcome") == "completed":
        last = state["messages"][-1]
        return str(last.text)
    parts = [STOPPED.format(why=why)]
    if said := _last_words(state):
        parts.append(said)
    if done := _done(state):
        parts.append("Done: " + ", ".join(done) + ".")
    broken = _broke(state)
    groups = {
        what: [_named(call["name"], call["args"]) for call in left if _standing(call, broken=broken) == what]
        for what in TOLD
    }
    groups[NOT_DONE] += _not_begun(state, left)
    groups[IN_DOUBT_STILL] = [*_left_in_doubt(state), *groups[IN_DOUBT_STILL]]
    parts += [f"{what}: {', '.join(names)}." for what, names in groups.items() if names]
    return " ".join(parts)


def _not_begun(state: State, left: list[Call]) -> list[str]:
    """Tasks of a plan that no call was made of."""
    begun = {call["id"] for call in left}
    results = state.get("results", {})
    tasks = [one for one in state.get("tasks", []) if one["id"] not in results and one["call_id"] not in begun]
    return [_named(task["tool"], task["args"]) for task in tasks]


def _broke(state: State) -> bool:
    """Whether a step broke in a way nobody foresaw: of the calls that were to run in it some may have."""
    return state.get("outcome") == "tool_failed"


def _standing(call: Call, *, broken: bool) -> str:
    """How a call without a result stands."""
    if "effect_key" not in call:
        return MAY_HAVE_RUN if broken and call["status"] == "ready" else NOT_DONE
    # One that is asked about again after a retry still has the approval of that retry.
    return SETTLED if "approval_id" in call and call["status"] == "ready" else IN_DOUBT_STILL


def _left_in_doubt(state: State) -> list[str]:
    """Calls a person cancelled in this run without settling them: their results say so."""
    found: list[str] = []
    for message in reversed(state["messages"]):
        if isinstance(message, HumanMessage):
            break
        if isinstance(message, ToolMessage) and isinstance(message.artifact, dict) and IN_DOUBT in message.artifact:
            found.insert(0, _named(str(message.name), message.artifact[IN_DOUBT]))
    return found


def _named(tool: str, args: dict[str, Any]) -> str:
    return f"{tool}({args})"


def _last_words(state: State) -> str:
    """The newest text the agent itself wrote since the person last spoke; one that was cut off does not hide it."""
    said: list[str] = []
    for message in reversed(state["messages"]):
        if isinstance(message, HumanMessage):
            break
        if is_notice(message):
            continue
        if isinstance(message, AIMessage) and (text := str(message.text).strip()):
            said.insert(0, text)
            if message.response_metadata.get("finish_reason") != "length":
                break
    return " ".join(said)


def _done(state: State) -> list[str]:
    """Names of the tools that gave a result in this run."""
    done = (state.get("usage") or no_usage())["done"]
    return [f"{name} x{count}" if count > 1 else name for name, count in done.items()]


def not_run(call: Call, why: str, *, broken: bool = False) -> ToolMessage:
    """Histories stay valid for every provider: no call without a result."""
    text = f"{TOLD[_standing(call, broken=broken)]}: {why}."
    return ToolMessage(text, tool_call_id=call["id"], name=call["name"], id=f"r-{call['id']}", status="error")
