"""reason: check the limits, ask the model, sort its calls into those that run and those that wait."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime

from graph.context import LocalContext, Reply, Run, Spent, Tools
from graph.errors import ModelFailed
from graph.state import Call, Outcome, State, Usage, no_usage
from nodes import prompts
from services.streamed import estimated_tokens


async def reason(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Ask the model what to do next, if the limits leave room for it."""
    run = runtime.context
    services, context = run.services, run.context(state)
    started = services.clock.monotonic()
    usage = _usage_of_this_run(state)
    prompt = prompts.conversation(state)

    if stop := _limit_reached(usage, context, prompt):
        return _end(*stop, usage)
    usage["iterations"] += 1

    def charge(spent: Spent) -> None:
        add_spent(usage, spent)
        usage["turns"] += 1

    try:
        reply = await _usable_reply(run, context, prompt, usage["turns"], charge)
    except ModelFailed as failed:
        charge(failed.spent)
        usage["seconds"] += services.clock.monotonic() - started
        return _end("model_failed", "; ".join(failed.reasons), usage)

    usage["seconds"] += services.clock.monotonic() - started
    message = with_fresh_call_ids(reply.message, state["messages"])
    calls, refusals = sort_calls(message, services.tools)
    services.telemetry.annotate(
        model=reply.model,
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        cost_usd=usage["cost_usd"],
        tiers=[{"tool": c["name"], "risk": c["risk"], "reason": c["reason"]} for c in calls],
    )
    update: dict[str, Any] = {"messages": [message, *refusals], "usage": usage}
    if state.get("outcome"):  # a new run on the thread
        update |= {"outcome": None, "lost": []}
    if not message.tool_calls:
        return {**update, "calls": [], "outcome": "completed", "reason": ""}
    if usage["tool_calls"] + len(calls) > context.max_tool_calls:
        wanted = f"{len(calls)} more after {usage['tool_calls']} of {context.max_tool_calls}"
        return {**update, "calls": calls, "outcome": "stopped_tool_calls", "reason": f"tool calls: {wanted}"}
    return {**update, "calls": calls}


def _usage_of_this_run(state: State) -> Usage:
    """A copy to add to; a thread that had ended starts a new run from zero."""
    known = state.get("usage")
    return no_usage() if known is None or state.get("outcome") else known.copy()


def _limit_reached(usage: Usage, context: LocalContext, prompt: Sequence[BaseMessage]) -> tuple[Outcome, str] | None:
    used = usage["prompt_tokens"] + usage["completion_tokens"]
    cost = math.inf if usage["cost_usd"] is None else usage["cost_usd"]
    if usage["iterations"] >= context.max_iterations:
        return "stopped_iterations", f"iterations: {usage['iterations']} of {context.max_iterations}"
    if used + estimated_tokens(prompt) > context.max_tokens:
        return "stopped_tokens", f"tokens: {used} used of {context.max_tokens}, too few left for another call"
    if cost >= context.max_usd:
        return "stopped_cost", f"cost: {cost:.4f} USD of {context.max_usd:g}"
    if usage["seconds"] >= context.max_seconds:
        return "stopped_deadline", f"time: {usage['seconds']:.1f} s of {context.max_seconds:g}"
    return None


async def _usable_reply(run: Run, context: LocalContext, prompt: list[BaseMessage], turn: int, charge: Any) -> Reply:
    """The chain's reply; one that can't be used is shown its fault once.

    Raises:
        ModelFailed: no model answered, or the second reply was no better.
    """
    models, tools = run.services.models, run.services.tools.offered()
    reply = await models.complete(context.model, prompt, tools=tools, turn=turn)
    problem = fault(reply.message)
    if problem is None:
        charge(reply.spent)
        return reply
    charge(reply.spent)
    again = [*prompt, HumanMessage(prompts.REPAIR.format(problem=problem))]
    second = await models.complete(context.model, again, tools=tools, turn=turn + 1)
    if (still := fault(second.message)) is None:
        charge(second.spent)
        return second
    raise ModelFailed([f"{second.model}: {problem}, then {still}"], second.spent)


def fault(message: AIMessage) -> str | None:
    """Why a reply can't be used; None when it can."""
    if message.invalid_tool_calls:
        broken = message.invalid_tool_calls[0]
        return f"the arguments of {broken['name']} are not valid JSON ({broken['error'] or 'broken'})"
    if message.response_metadata.get("finish_reason") == "length":
        return "it was cut off at the length limit"
    return None if message.tool_calls or str(message.text).strip() else "it was empty"


def with_fresh_call_ids(message: AIMessage, history: Sequence[AnyMessage]) -> AIMessage:
    """Models may repeat a call id; results are paired by it, so a repeated one is made new."""
    taken = {call["id"] for old in history if isinstance(old, AIMessage) for call in old.tool_calls}
    calls = []
    for position, call in enumerate(message.tool_calls):
        unique = call["id"]
        if not unique or unique in taken:
            unique = f"{unique or 'call'}-{message.id}-{position}"
        taken.add(unique)
        calls.append({**call, "id": unique})
    return message if calls == message.tool_calls else message.model_copy(update={"tool_calls": calls})


def sort_calls(message: AIMessage, tools: Tools) -> tuple[list[Call], list[ToolMessage]]:
    """The calls that may run or wait, and the answers to those that can't run at all."""
    calls: list[Call] = []
    refusals: list[ToolMessage] = []
    for call in message.tool_calls:
        call_id = call["id"] or ""
        found = tools.assess(call["name"], call["args"])
        if found.error:
            refusals.append(
                ToolMessage(found.error, tool_call_id=call_id, name=call["name"], id=f"r-{call_id}", status="error")
            )
            continue
        calls.append(
            Call(
                id=call_id,
                name=call["name"],
                args=found.args,
                risk=found.risk,
                reason=found.reason,
                status="ready" if found.risk == "low" else "ask",
            )
        )
    return calls, refusals


def add_spent(usage: Usage, spent: Spent) -> None:
    """Charge a model call; an unknown price makes the whole cost unknown."""
    usage["model_calls"] += spent.calls
    usage["prompt_tokens"] += spent.prompt_tokens
    usage["completion_tokens"] += spent.completion_tokens
    if spent.cost_usd is None or usage["cost_usd"] is None:
        usage["cost_usd"] = None
    else:
        usage["cost_usd"] += spent.cost_usd


def _end(outcome: Outcome, why: str, usage: Usage) -> dict[str, Any]:
    return {"outcome": outcome, "reason": why, "usage": usage}
