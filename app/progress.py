"""One line for each node as it ends, on stderr: coloured on a terminal, plain when piped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage
from rich.console import Console
from rich.markup import escape

from app.visible import visible

_STYLES = {
    "reason": "cyan",
    "act": "green",
    "sanitize": "yellow",
    "approve": "magenta",
    "__interrupt__": "bold magenta",
    "compress_history": "blue",
    "finish": "bold",
}
_WIDTH = 400


class Progress:
    """Prints what each node did."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, node: str, change: Any) -> None:
        """Called with each (node, update) of a run."""
        describe = _DESCRIBE.get(node)
        if describe is None:
            return
        name = "waiting" if node == "__interrupt__" else node
        for line in describe(change or ()):
            self._console.print(
                f"[{_STYLES[node]}]{name:>16}[/]  {escape(visible(_short(line)))}", highlight=False, soft_wrap=True
            )


def _reason(change: dict[str, Any]) -> list[str]:
    lines = []
    for message in change.get("messages", []):
        if isinstance(message, AIMessage):
            lines += [f"{call['name']}({_args(call['args'])})" for call in message.tool_calls]
            lines += [_first_line(message)] if message.text and not message.tool_calls else []
        else:
            lines.append(f"refused {message.name}: {message.text}")
    return lines or [str(change.get("reason", ""))]


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
    ]
    return [f"{len(change.get('messages', []))} results cleaned and wrapped as data", *found]


def _compress(change: dict[str, Any]) -> list[str]:
    removed = sum(isinstance(message, RemoveMessage) for message in change.get("messages", []))
    cut = len(change.get("messages", [])) - removed
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
    return str(message.text).strip().split("\n", 1)[0]


def _short(text: str, width: int = _WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
