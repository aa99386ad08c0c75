"""What a run may open again: what its own branch of the thread has read, as its state tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from langchain_core.messages import AnyMessage, ToolMessage

from graph.state import State
from nodes.folding import CUT

WHOLE = "kept_whole"
"""Key in the artifact (no provider is sent it) of a result that was too long for a call: the handle of the whole."""


def handle_of(result: ToolMessage) -> str | None:
    """The handle of the whole that a result is a part of; None when it is whole itself, or the rest is not kept."""
    artifact = result.artifact if isinstance(result.artifact, dict) else {}
    handle = artifact.get(CUT) or artifact.get(WHOLE)
    return handle if isinstance(handle, str) else None


def handles_in(messages: Iterable[AnyMessage]) -> Iterator[str]:
    """The handles of the wholes that results among these are parts of. What a text names is nothing to go by."""
    for message in messages:
        # Most results are whole: asked at each step, of all of them.
        if isinstance(message, ToolMessage) and message.artifact and (handle := handle_of(message)):
            yield handle


def openable(state: State) -> tuple[str, ...]:
    """Handles of what was folded away and of what was cut, each once, the newest last."""
    folded = (fact["text"] for fact in state.get("facts") or [] if fact["kind"] == "result")
    met = [*folded, *handles_in(state["messages"])]
    return tuple(dict.fromkeys(reversed(met)))[::-1]
