"""`make demo`: the main job, killed with SIGKILL while it waits, resumed by another process.

Each step is the command a user would type, run in a process of its own. Only the first is special: it
kills itself when the run stops for approval.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.table import Table

from app import loop
from services import settings

TASK = (
    "Priya asked by mail for new standing desks: find her request and the catalogue price, check the "
    "purchasing policy, order them, mail her a confirmation, and delete the old supplier records."
)
OFFICE = Path("examples/office")


def main() -> int:
    """Run the demo; exit code 0 when it ended as it should."""
    if sys.argv[1:2] == ["until-killed"]:
        loop.run(_run_until_killed(sys.argv[2], Path(sys.argv[3])))
        return 1  # not reached: the process has killed itself
    thread = f"demo-{uuid4().hex[:6]}"
    # Kept: the thread goes on working there, whatever it is asked after the demo.
    workspace = settings.load().home.resolve() / "demo" / thread / "office"
    shutil.copytree(OFFICE, workspace, ignore=shutil.ignore_patterns("outbox"))
    return _play(Console(highlight=False), thread, workspace)


def _play(console: Console, thread: str, workspace: Path) -> int:
    os.environ["BALLAST_MODEL"] = "offline"  # the demo needs no key, and never spends on one it finds
    console.print(f"[bold]Task[/]  {TASK}\n", soft_wrap=True)

    _say(
        console,
        f"python -m app.demo until-killed {thread}",
        "runs until a person is needed, then kills itself",
    )
    command = [sys.executable, "-m", "app.demo", "until-killed", thread, str(workspace)]
    first = subprocess.run(command, check=False, stderr=sys.stdout)  # noqa: S603 - our own module
    if first.returncode != -signal.SIGKILL:
        console.print(f"the run ended with {first.returncode} before anyone was asked")
        return 1
    console.print("[bold red]          killed[/]  SIGKILL while waiting; everything it knew is in Postgres\n")

    _say(
        console,
        f"ballast approvals list --thread {thread} --pending",
        "a new process finds the open questions",
    )
    pending: list[dict[str, Any]] = _json("approvals", "list", "--thread", thread, "--pending", "--json")
    for row in pending:
        console.print(f"          {row['id']}  {row['risk']:8}  {row['tool']}: {row['reason']}", soft_wrap=True)
    console.print()
    critical = [row["id"] for row in pending if row["risk"] == "critical"]
    others = [row["id"] for row in pending if row["risk"] != "critical"]

    _say(console, f"ballast approvals approve {' '.join(others)}", "a person approves the mail and the order")
    _ballast("approvals", "approve", *others)
    if critical:
        _say(
            console,
            f"ballast approvals reject {' '.join(critical)}",
            "the agent never deletes; the person declines too",
        )
        _ballast("approvals", "reject", *critical, "--message", "keep the supplier records for the audit")

    _say(console, f"ballast resume {thread}", "another new process goes on from the checkpoint")
    result: dict[str, Any] = _json("resume", thread, "--json")
    effects: list[dict[str, Any]] = _json("effects", thread, "--json")
    console.print(f"\n[bold]Answer[/]  {result['answer']}\n", soft_wrap=True)
    _table(console, result, effects)
    console.print(
        "\nTry next:\n"
        f"  .venv/bin/ballast history {thread}\n"
        f"  .venv/bin/ballast replay {thread} --from act --dry-run\n"
        "  make run TASK='read mail 003-overdue-invoice'"
    )
    return 0 if result["outcome"] == "completed" else 1


async def _run_until_killed(thread: str, workspace: Path) -> None:
    """Start the run in this process; when it waits for a person, end as a crashed machine would."""
    from app.lifespan import opened
    from app.runs import Runs
    from app.show import progress
    from graph.context import LocalContext

    show = progress()

    def kill_when_asked(node: str, change: Any) -> None:
        show(node, change)
        if node == "__interrupt__":
            os.kill(os.getpid(), signal.SIGKILL)

    async with opened() as services:
        runs = Runs(opened=services, progress=kill_when_asked)
        await runs.start(TASK, thread_id=thread, context=LocalContext(workspace=workspace))


def _say(console: Console, command: str, why: str) -> None:
    console.print(f"[dim]$[/] [bold]{command}[/]  [dim]# {why}[/]", soft_wrap=True)


def _ballast(*args: str, capture: bool = False) -> str:
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "app.cli", *args],
        check=False,
        text=True,
        stdout=subprocess.PIPE if capture else None,
        stderr=sys.stdout,  # the demo tells one story: progress is part of it
    )
    if done.returncode not in (0, 3):
        sys.exit(f"demo: ballast {args[0]} ended with {done.returncode}")
    return done.stdout or ""


def _json(*args: str) -> Any:
    return json.loads(_ballast(*args, capture=True))


def _table(console: Console, result: dict[str, Any], effects: list[dict[str, Any]]) -> None:
    usage = result["usage"]
    figures = {
        "outcome": result["outcome"],
        "iterations": usage["iterations"],
        "tool calls": usage["tool_calls"],
        "tokens": usage["prompt_tokens"] + usage["completion_tokens"],
        "cost": f"${usage['cost_usd']:.4f}",
        "effects": ", ".join(f"{effect['tool']} {effect['state']}" for effect in effects),
    }
    grid = Table(show_header=False)
    for name, figure in figures.items():
        grid.add_row(name, str(figure))
    console.print(grid)


if __name__ == "__main__":
    sys.exit(main())
