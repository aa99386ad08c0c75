"""finish: every run ends here, in one typed outcome with the best answer there is."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime

from graph.context import Run
from graph.state import Call, Outcome, State, no_usage


async def finish(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Give the answer, or what was reached and what was left when the run was stopped."""
    left = state.get("calls", [])
    info = runtime.execution_info
    if left and info and info.thread_id:
        await runtime.context.services.approvals.close(info.thread_id)
    runtime.context.services.telemetry.annotate_run(**totals(state, state.get("outcome")))
    why = state.get("reason") or state.get("outcome") or "the run ended"
    return {
        "answer": _answer(state, left, why),
        "calls": [],
        **({"untrusted": []} if state.get("untrusted") else {}),
        "messages": [not_run(call, why) for call in left],
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
    parts = [f"Stopped: {why}."]
    if said := _last_words(state):
        parts.append(said)
    if done := _done(state):
        parts.append("Done: " + ", ".join(done) + ".")
    for what, doubt in (("Not done", False), ("In doubt, may have happened", True)):
        if names := [f"{call['name']}({call['args']})" for call in left if ("effect_key" in call) is doubt]:
            parts.append(f"{what}: {', '.join(names)}.")
    return " ".join(parts)


def _last_words(state: State) -> str:
    """The newest text the agent itself wrote since the person last spoke."""
    for message in reversed(state["messages"]):
        if isinstance(message, HumanMessage):
            return ""
        if isinstance(message, AIMessage) and str(message.text).strip():
            return str(message.text).strip()
    return ""


def _done(state: State) -> list[str]:
    """Names of the tools that gave a result in this run."""
    done = (state.get("usage") or no_usage())["done"]
    return [f"{name} x{count}" if count > 1 else name for name, count in done.items()]


def not_run(call: Call, why: str) -> ToolMessage:
    """Histories stay valid for every provider: no call without a result."""
    doubt = "effect_key" in call
    text = f"This was cut off and may have happened; nobody settled it: {why}." if doubt else f"Not run: {why}."
    return ToolMessage(text, tool_call_id=call["id"], name=call["name"], id=f"r-{call['id']}", status="error")
