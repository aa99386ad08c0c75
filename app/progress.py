"""One line for each node as it ends, on stderr: coloured on a terminal, plain when piped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage
from rich.console import Console
from rich.markup import escape

from app.visible import visible
from services.cleaning import is_wrapped

_STYLES = {
    "reason": "cyan",
    "plan": "cyan",
    "task": "green",
    "execute": "green",
    "join": "cyan",
    "act": "green",
    "sanitize": "yellow",
    "approve": "magenta",
    "__interrupt__": "bold magenta",
    "compress_history": "blue",
    "finish": "bold",
}
_WIDTH = 400
CALL_CHARS = 100
GUARD = "guard "
"""How the rule of a finding begins that a guard made."""
MOST_TASKS = 40
"""Of a plan that are told as it is made."""


class Progress:
    """Prints what each node did."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._names: dict[str, str] = {}
        """Tasks' names by the id of their call, of the plan made in this process."""

    def __call__(self, node: str, change: Any) -> None:
        """Called with each (node, update) of a run."""
        describe = _DESCRIBE.get(node)
        if describe is None:
            return
        name = "waiting" if node == "__interrupt__" else node
        if node == "plan" and "tasks" in change:
            self._names = {task["call_id"]: task["id"] for task in change.get("tasks", [])}
        if node == "task" and "call" in change:
            change = {**change, "name": self._names.get(change["call"]["id"], "")}
        for line in [*describe(change or ()), *_guards(change)]:
            self._console.print(
                f"[{_STYLES[node]}]{name:>16}[/]  {escape(visible(_short(line)))}", highlight=False, soft_wrap=True
            )


def _guards(change: Any) -> list[str]:
    """What guards did, in whatever node they were asked."""
    findings = change.get("findings", []) if isinstance(change, dict) else []
    return [f"{one['tool']}: {one['rule']}: {one['excerpt']}" for one in findings if one["rule"].startswith(GUARD)]


def _reason(change: dict[str, Any]) -> list[str]:
    lines = []
    for message in change.get("messages", []):
        if isinstance(message, AIMessage):
            lines += [f"{call['name']}({_args(call['args'])})" for call in message.tool_calls]
            lines += [_first_line(message)] if message.text and not message.tool_calls else []
        elif isinstance(message, ToolMessage):
            lines.append(f"refused {message.name}: {message.text}")
    return lines or [str(change.get("reason", ""))]


def _plan(change: dict[str, Any]) -> list[str]:
    tasks = change.get("tasks", [])
    lines = [
        f"{task['id']}: {task['tool']}({_args(task['args'])})"
        + (f"  after {', '.join(task['needs'])}" if task["needs"] else "")
        for task in tasks[:MOST_TASKS]
        if task["id"] not in change.get("results", {})
    ]
    more = [f"and {len(tasks) - MOST_TASKS:,} more tasks"] if len(tasks) > MOST_TASKS else []
    names = [task["id"] for task in change.get("dropped", [])]
    dropped = [f"dropped: {', '.join(names)}"] if names else []
    return [*lines, *more, *dropped] or [str(change.get("reason") or "nothing is left to plan")]


def _task(change: dict[str, Any]) -> list[str]:
    if "stopped" in change:
        return [f"stopped: {change['stopped'][1]}"]
    if "call" not in change:
        return []
    call = change["call"]
    made = f"{call['name']}({_short(_args(call['args']), CALL_CHARS)})"
    named = f"{change['name']}: {made}" if change.get("name") else made
    if "result" not in change:
        return [f"{named}: waits for a person"] if call["status"] == "ask" else []
    text = str(change["message"].text)
    said = f"{len(change['result']['text'])} characters from outside" if is_wrapped(text) else _first_of(text)
    return [f"{named}: {'ok' if change['result']['stands'] == 'done' else 'error'}, {said}"]


def _execute(change: dict[str, Any]) -> list[str]:
    stands = [result["stands"] for result in change.get("results", {}).values()]
    ended = [f"{stands.count(one)} {one}" for one in ("done", "failed", "refused") if one in stands]
    waiting = sum(call["status"] == "ask" for call in change.get("calls", []))
    return [", ".join([*ended, *([f"{waiting} waiting for a person"] if waiting else [])]) or "nothing could run"]


def _results(change: dict[str, Any]) -> list[str]:
    lines = [
        f"{message.name}: {'ok' if message.status == 'success' else 'error'}, {_first_line(message)}"
        for message in change.get("messages", [])
        if isinstance(message, ToolMessage)
    ]
    return lines + [f"{raw['tool']}: {len(raw['text'])} characters from outside" for raw in change.get("untrusted", [])]


def _sanitize(change: dict[str, Any]) -> list[str]:
    found = [
        f"{one['tool']}: looks like an instruction ({one['rule']}): {one['excerpt']!r}"
        for one in change.get("findings", [])
        if not one["rule"].startswith(GUARD)
    ]
    return [f"{len(change.get('messages', []))} results from outside, as data", *found]


def _compress(change: dict[str, Any]) -> list[str]:
    removed = sum(isinstance(message, RemoveMessage) for message in change.get("messages", []))
    cut = sum(isinstance(message, ToolMessage) for message in change.get("messages", []))
    said = [f"{cut} results cut to what has to do with the request"] if cut else []
    if removed or not cut:
        said.append(f"{removed} messages folded into {len(change.get('summary', '').splitlines())} lines of summary")
    return said


def _waiting(interrupts: Any) -> list[str]:
    actions = [action for one in interrupts for action in one.value["action_requests"]]
    return [f"{a['approval_id']}  {a['name']}({_args(a['args'])})  {a['description']}" for a in actions]


def _finish(change: dict[str, Any]) -> list[str]:
    left = len(change.get("messages", []))
    return [f"the run ends, {left} calls left undone" if left else "the run ends"]


_DESCRIBE: dict[str, Callable[[Any], list[str]]] = {
    "reason": _reason,
    "plan": _plan,
    "task": _task,
    "execute": _execute,
    "join": _reason,
    "approve": _results,
    "act": _results,
    "sanitize": _sanitize,
    "compress_history": _compress,
    "finish": _finish,
    "__interrupt__": _waiting,
}


def _args(args: dict[str, Any]) -> str:
    return ", ".join(f"{key}={_short(repr(value), 60)}" for key, value in args.items())


def _first_line(message: BaseMessage) -> str:
    return _first_of(str(message.text))


def _first_of(text: str) -> str:
    return text.strip().split("\n", 1)[0]


def _short(text: str, width: int = _WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
