"""What people see: progress on stderr, results on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.plan_view import WORDS
from app.progress import Progress
from app.visible import visible, visible_text

MOST_TASKS = 40
"""Lines of a plan that are printed."""
LONGEST_NAME, CALL_CHARS = 24, 100


def progress() -> Progress:
    """A progress printer on stderr."""
    return Progress(Console(stderr=True))


def table(*columns: str) -> Callable[[Any], None]:
    """A printer of rows with these columns; plain tab-separated lines when piped."""

    def show(rows: list[dict[str, Any]]) -> None:
        console = Console()
        if not console.is_terminal:
            for row in rows:
                print("\t".join(_cell(row[column]) for column in columns))
            return
        console.print(grid(columns, rows))

    return show


def grid(columns: Sequence[str], rows: list[dict[str, Any]]) -> Table:
    """Rows as they are drawn on a terminal. `Text`, for a plain str in a cell would be read as markup."""
    drawn = Table(*columns)
    for row in rows:
        drawn.add_row(*(Text(_cell(row[column])) for column in columns))
    return drawn


def effects(thread_id: str) -> Callable[[Any], None]:
    """A printer of the ledger's rows; beside one in doubt it says how to settle it."""
    show = table("tool", "state", "args", "result", "attempts", "finished_at")
    ask = f"in doubt, it may have happened: ballast approvals list --thread {thread_id}, or resume the thread"

    def told(row: dict[str, Any]) -> dict[str, Any]:
        if row["state"] != "unknown":
            return row
        return {**row, "result": f"{ask}; {row['result']}" if row["result"] else ask}

    return lambda rows: show([told(row) for row in rows])


def approvals(rows: list[dict[str, Any]]) -> None:
    """Approval rows; one about an effect in doubt says so."""
    shown = [{**row, "status": f"{row['status']}, in doubt"} if row.get("effect_key") else row for row in rows]
    table("id", "thread_id", "tool", "args", "risk", "status", "deadline")(shown)


def record(row: dict[str, Any]) -> None:
    """One row, a line a field."""
    for key, value in row.items():
        print(f"{key:>14}  {_cell(value)}")


def decided(result: dict[str, Any] | list[dict[str, Any]]) -> None:
    """What was decided, and how to go on."""
    for row in result if isinstance(result, list) else [result]:
        print(f"{row['id']}  {row['tool']}: {row['status']}. Go on with: ballast resume {row['thread_id']}")


def planned(result: dict[str, Any]) -> None:
    """A plan that was to be made, and how to have it run."""
    if result["outcome"] is not None:
        run_result(result)
        return
    _head(result, "planned")
    print(f"  run it: ballast resume {result['thread_id']}")


def run_result(result: dict[str, Any]) -> None:
    """How a run stands: answer, plan, figures, and what a person can do next."""
    if result["answer"]:
        print(visible_text(result["answer"]))
    _head(result, result["outcome"] or "cut off")
    whole = result["totals"]
    if whole["runs"] > 1:
        tokens = whole["prompt_tokens"] + whole["completion_tokens"]
        print(f"  {whole['runs']} runs of the thread so far: tokens {tokens}  cost ${whole['cost_usd']:.4f}")
    pending = [row for row in result["approvals"] if row["status"] == "pending"]
    for row in pending:
        verbs = "done|reject" if row["risk"] == "critical" else "approve|edit|reject|respond"
        tier = row["risk"]
        if row.get("effect_key"):
            verbs = "done|abandon" if tier == "critical" else "done|retry|abandon"
            tier += ", in doubt"
        print(f"  {tier}: {row['tool']}({_cell(row['args'])})\n    ballast approvals {verbs} {row['id']}")
    if pending or result["outcome"] in (None, "cancelled"):
        print(f"  then: ballast resume {result['thread_id']}")


def _head(result: dict[str, Any], stands: str) -> None:
    for line in plan_lines(result.get("plan", [])):
        print(line)
    usage = result["usage"]
    cost = "unknown" if usage["cost_usd"] is None else f"${usage['cost_usd']:.4f}"
    print(
        f"\n{stands}  iterations {usage['iterations']}  tool calls {usage['tool_calls']}  "
        f"tokens {usage['prompt_tokens'] + usage['completion_tokens']}  cost {cost}  thread {result['thread_id']}"
    )


def plan_lines(tasks: Sequence[dict[str, Any]]) -> list[str]:
    """A plan for people, a line a task; of a long one the first, and how many more there are."""
    shown = tasks[:MOST_TASKS]
    longest = min(max((len(visible(task["id"])) for task in shown), default=0), LONGEST_NAME)
    widest = max((len(WORDS[task["stands"]]) for task in shown), default=0)
    lines = [
        f"  {WORDS[task['stands']]:<{widest}}  {visible(task['id']):<{longest}}  {_call_line(task)}" for task in shown
    ]
    more = [f"  and {len(tasks) - len(shown):,} more: --json has all"] if len(tasks) > len(shown) else []
    return [*(["", "plan"] if lines else []), *lines, *more]


def _call_line(task: dict[str, Any]) -> str:
    args = ", ".join(f"{name}={value!r}" for name, value in task["args"].items())
    call = f"{task['tool']}({args})"
    after = f"  after {', '.join(task['needs'])}" if task["needs"] else ""
    return visible((call if len(call) <= CALL_CHARS else f"{call[: CALL_CHARS - 2]}…)") + after[:CALL_CHARS])


def dry_run_result(result: dict[str, Any]) -> None:
    """What a replay would do."""
    print(f"from checkpoint {result['checkpoint_id']}: would run {', '.join(result['next']) or 'nothing'}")
    for call in result["calls"]:
        print(f"  call   {call['tool']}({_cell(call['args'])})")
    for call in result["asks"]:
        print(f"  ask    {call['tool']}({_cell(call['args'])})")
    for effect in result["effects_reused"]:
        print(f"  reuse  {effect['tool']}({_cell(effect['args'])}): done, its result is returned")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return visible(", ".join(value)) or "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return visible(" ".join(text.split()))
