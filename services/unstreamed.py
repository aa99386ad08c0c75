"""Asking a model without showing its tokens to whoever follows the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.constants import TAG_NOSTREAM


@contextmanager
def unstreamed() -> Iterator[None]:
    """Within it, what models say is no part of the stream of messages."""
    known = var_child_runnable_config.get()
    if known is None:  # in no graph: nobody follows
        yield
        return
    token = var_child_runnable_config.set({**known, "tags": [*(known.get("tags") or ()), TAG_NOSTREAM]})
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)
