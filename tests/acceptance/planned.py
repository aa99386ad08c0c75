"""Plans on a real server: made by a script, run with its tools."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import yaml
from langgraph_sdk import get_client

from tests.acceptance.desk import Desk


def task(name: str, tool: str, *needs: str, **args: Any) -> dict[str, Any]:
    """A task as a planner writes it."""
    return {"id": name, "tool": tool, "args": args, "needs": list(needs)}


async def planned(
    desk: Desk,
    *tasks: dict[str, Any],
    again: Sequence[dict[str, Any]] = (),
    request: str = "see to the desks",
    **context: Any,
) -> str:
    """A thread that ran this plan as far as it could, and `again` around what failed."""
    path = desk.folder / f"{uuid.uuid4().hex}.yaml"
    plans = [{"tool_calls": [{"name": "plan", "args": {"tasks": list(some)}}]} for some in (tasks, again, ())]
    path.write_text(yaml.safe_dump({"turns": [{"content": "All done."}] * 3, "planner": plans}))
    asked: Any = {"messages": [{"role": "user", "content": request}]}
    async with get_client(url=desk.server.url, headers=desk.headers) as client:
        thread = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread, "plan", input=asked, context={"model": f"scripted:{path}", **context})
    return str(thread)
