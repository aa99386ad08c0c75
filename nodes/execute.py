"""execute: run each task of the plan the moment what it needs is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langgraph.runtime import Runtime

from graph.context import LocalContext, Run, limits_by_tool
from graph.plan import Task, TaskResult
from graph.state import Call, Outcome, State, Usage
from nodes.attempt import Attempt
from nodes.caps import Caps
from nodes.extracting import Extractor
from nodes.flight import Flight
from nodes.guarding import Guarding
from nodes.provenance import judge_of
from nodes.released import allowed
from nodes.results import count_calls
from nodes.step import step_of
from services.admission import estimated
from services.budget import budget_of, no_room_for_calls
from services.totals import before


async def execute(state: State, runtime: Runtime[Run]) -> dict[str, Any]:
    """Run all that can run, side by side; a task that waits for a person holds only what needs it.

    Each task is stored as it ends: executed again after a crash, only what had not ended runs.
    """
    run = runtime.context
    services, context = run.services, run.context(state)
    info = runtime.execution_info
    thread_id = (info.thread_id if info else None) or uuid4().hex  # two runs without a thread share no effect
    calls = state.get("calls", [])
    ready, stay = ([one for one in calls if (one["status"] == "ready") is run_now] for run_now in (True, False))
    judge = judge_of(state, services.tools, context)
    unread = {task["call_id"]: task["args"] for task in state.get("tasks", []) if task.get("unread")}
    released, held, faults = await allowed(ready, services, thread_id, judge, unread)
    results = {**state.get("results", {}), **_settled(state)}
    tasks = _to_run(state, ready, _ids(stay), results)
    usage = state["usage"].copy()
    budget = budget_of(runtime, "execute", context, usage, before(state))
    seconds = context.max_seconds - usage["seconds"]
    with services.writes.watched(thread_id) as writes:
        flight = Flight(
            run=run,
            context=context,
            step=step_of(run, state, thread_id, seconds),
            budget=budget,
            results=results,
            released={call["id"]: call for call in released},
            held={call["id"]: call for call in held},
            faults=faults,
            counts=dict(state.get("intents", {})),
            doubted={services.tools.intent(one["name"], one["args"]) for one in stay if "effect_key" in one},
            writes=writes,
            stop=partial(_stop, counted=_in_doubt(calls), usage=state["usage"], context=context),
            judge=judge,
            extractor=Extractor(
                guarding=Guarding(run=run, state=state, open_budget=lambda: budget),
                context=context,
                thread_id=thread_id if run.durable else "",
            ),
            caps=Caps(
                limits=limits_by_tool(context.tool_limits),
                made=Counter(state["usage"]["by_tool"]),
                taken=_taken(state, tasks, results),
            ),
        )
        attempts = await flight.run_all(tasks)
    services.telemetry.annotate(tasks=_stand(tasks, attempts))
    usage = count_calls(
        await budget.close(),
        made=[name for attempt in attempts for name in attempt.get("made", [])],
        done=[name for attempt in attempts for name in attempt.get("done", [])],
    )
    open_calls = [attempt["call"] for attempt in attempts if "call" in attempt and "result" not in attempt]
    return {**_gathered(state, attempts, results), "calls": [*open_calls, *stay], "usage": usage}


def _settled(state: State) -> dict[str, TaskResult]:
    """Results of tasks that a person settled since they were held: the history has what was decided."""
    known = state.get("results", {})
    told = {message.tool_call_id: message for message in state["messages"] if isinstance(message, ToolMessage)}
    return {
        task["id"]: TaskResult(stands="done" if message.status == "success" else "refused", text=str(message.text))
        for task in state.get("tasks", [])
        if task["id"] not in known and (message := told.get(task["call_id"]))
    }


def _ids(calls: Sequence[Call]) -> set[str]:
    return {call["id"] for call in calls}


def _to_run(state: State, ready: Sequence[Call], waiting: set[str], results: Mapping[str, TaskResult]) -> list[Task]:
    """The open tasks, those that were in doubt first; and what was let go that belongs to none, by another graph.

    From the state alone: executed again after a crash, what was stored finds its task by its place here, also when
    the rules have changed since and hold what they let go before.
    """
    tasks = [task for task in state.get("tasks", []) if task["id"] not in results and task["call_id"] not in waiting]
    planned = {task["call_id"] for task in tasks}
    tasks += [
        Task(id=call["id"], tool=call["name"], args=call["args"], needs=[], call_id=call["id"])
        for call in ready
        if call["id"] not in planned
    ]
    doubted = _in_doubt(ready)
    return sorted(_each_once(tasks), key=lambda task: task["call_id"] not in doubted)


def _each_once(tasks: Sequence[Task]) -> Iterator[Task]:
    """An edited state may list a task twice: what let it run lets it run once."""
    seen: set[str] = set()
    for task in tasks:
        if seen.isdisjoint((task["id"], task["call_id"])):
            yield task
        seen |= {task["id"], task["call_id"]}


def _in_doubt(calls: Sequence[Call]) -> set[str]:
    """Ids of those that were counted when they were first made."""
    return {call["id"] for call in calls if "effect_key" in call}


def _stop(
    tasks: Sequence[Task], made: int, *, counted: set[str], usage: Usage, context: LocalContext
) -> tuple[Outcome, str] | None:
    """How the run ends when its limit on calls leaves no room for these: an edit may have lowered it since."""
    more = sum(estimated(task, _free)["calls"] for task in tasks if task["call_id"] not in counted)
    stop = no_room_for_calls(more, {**usage, "tool_calls": usage["tool_calls"] + made}, context) if more else {}
    return (stop["outcome"], stop["reason"]) if stop else None


def _free(_prompt_tokens: int, _reply_tokens: int) -> float:
    return 0.0


def _taken(state: State, tasks: Sequence[Task], results: Mapping[str, TaskResult]) -> Counter[str]:
    """Calls by tool: those that were made, and those that the plan's own tasks still make."""
    counted = _in_doubt(state.get("calls", []))
    open_tasks = {task["call_id"]: task for task in (*state.get("tasks", []), *tasks) if task["id"] not in results}
    more = Counter(task["tool"] for call_id, task in open_tasks.items() if call_id not in counted)
    return Counter(state["usage"]["by_tool"]) + more


def _stand(tasks: Sequence[Task], attempts: Sequence[Attempt]) -> list[dict[str, str]]:
    return [
        {
            "task": task["id"],
            "tool": task["tool"],
            "stands": attempt["result"]["stands"] if "result" in attempt else "open",
        }
        for task, attempt in zip(tasks, attempts, strict=True)
    ]


def _gathered(state: State, attempts: Sequence[Attempt], results: Mapping[str, TaskResult]) -> dict[str, Any]:
    """What the attempts add to the run."""
    new = [attempt["call"] for attempt in attempts if attempt.get("new") and "call" in attempt]
    planned = {task["id"] for task in state.get("tasks", [])}
    # As planned: what a reference stood for is told where it came from, marked as what it is, and only once.
    as_planned = {task["call_id"]: task["args"] for task in state.get("tasks", [])}
    made = [
        ToolCall(name=call["name"], args=as_planned.get(call["id"], call["args"]), id=call["id"], type="tool_call")
        for call in new
    ]
    update: dict[str, Any] = {
        "messages": [
            *([AIMessage("", tool_calls=made, id=f"m-{new[0]['id']}")] if new else []),
            *(attempt["message"] for attempt in attempts if "message" in attempt),
        ],
        "results": {name: result for name, result in results.items() if name in planned},
        "intents": _intents(attempts),
    }
    if any(attempt["result"].get("outside") for attempt in attempts if "result" in attempt):
        update["outside"] = True
    if origins := [origin for attempt in attempts for origin in attempt.get("origins", [])]:
        update["origins"] = origins
    if findings := [finding for attempt in attempts for finding in attempt.get("findings", [])]:
        update["findings"] = findings
    if stopped := next((attempt["stopped"] for attempt in attempts if "stopped" in attempt), None):
        update |= {"outcome": stopped[0], "reason": stopped[1]}
    return update


def _intents(attempts: Sequence[Attempt]) -> dict[str, int]:
    """How often each effect has run. Equal ones do not end in the order of their tasks."""
    intents: dict[str, int] = {}
    for one in attempts:
        if "digest" in one:
            intents[one["digest"]] = max(intents.get(one["digest"], 0), one["occurrence"] + 1)
    return intents
