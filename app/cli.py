"""The command line. Each command opens the services, does one thing, prints it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from app.cli_approvals import approvals_app
from app.cli_audit import audit
from app.cli_chaos import chaos
from app.cli_eval import eval_app
from app.cli_mcp import mcp_app
from app.cli_results import results
from app.cli_tokens import tokens_app
from app.cli_worker import worker
from app.session import AsJson, context_of, emit, finish, with_services
from app.visible import visible
from graph.errors import BadSetting, BallastError

if TYPE_CHECKING:
    from app.lifespan import Opened

cli = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An agent you can leave running.",
)
INTERRUPTED = 130
"""What Typer gives back after ctrl-C."""

cli.add_typer(approvals_app, name="approvals")
cli.add_typer(tokens_app, name="token")
cli.add_typer(mcp_app, name="mcp")
cli.add_typer(eval_app, name="eval")
cli.command()(chaos)
cli.command()(worker)
cli.command()(audit)
cli.command()(results)

Model = Annotated[str | None, typer.Option(help="Model chain: openai:NAME, scripted:FILE.yaml, offline.")]
Graph = Annotated[
    str | None,
    typer.Option(
        help="Which graph runs it: react, plan, or auto, a rule over the words of TASK. A thread keeps its own.",
        show_default="react",
    ),
]
Workspace = Annotated[Path | None, typer.Option(help="Folder the file tools work in.")]
MaxIterations = Annotated[int | None, typer.Option(help="Most passes through the model.")]
MaxToolCalls = Annotated[int | None, typer.Option(help="Most tool calls.")]
ToolLimits = Annotated[str | None, typer.Option(help="Most calls of single tools: send_email=3,fetch_url=10.")]
MaxReplyTokens = Annotated[int | None, typer.Option(help="Longest reply of a model, in tokens.")]
Tenant = Annotated[str | None, typer.Option(help="Whose day the money and tool calls count in.")]
MaxTokens = Annotated[int | None, typer.Option(help="Most tokens.")]
MaxUsd = Annotated[float | None, typer.Option(help="Most money for model calls, in US dollars.")]
MaxThreadTokens = Annotated[int | None, typer.Option(help="Most tokens of all runs of the thread together.")]
MaxThreadUsd = Annotated[float | None, typer.Option(help="Most money of all runs of the thread, in US dollars.")]
MaxSeconds = Annotated[float | None, typer.Option(help="Most time in nodes, in seconds.")]
KeepToolResults = Annotated[int | None, typer.Option(help="Tool results that stay whole; older ones are folded.")]
FoldShare = Annotated[float | None, typer.Option(help="Part of the window at which history is folded.")]
WindowTokens = Annotated[int | None, typer.Option(help="What the smallest model can read, in tokens.")]
ApprovalSeconds = Annotated[int | None, typer.Option(help="How long a medium-risk action waits.")]


def main() -> None:
    """Run the command line; every error of ours is one line on stderr and its own exit code."""
    import psycopg

    try:
        _check_text(sys.argv[1:])
        ended = cli(sys.argv[1:] or ["--help"], standalone_mode=False)
    except TyperException as error:  # Typer's own usage errors are boxes of several lines
        _fail(f"{error.format_message().rstrip('.')}; see 'ballast --help'", error.exit_code)
    except BallastError as error:
        _fail(str(error), error.exit_code)
    except psycopg.Error as error:
        line = " ".join(str(error).split())
        _fail(f"the database failed: {line}; what is stored is safe: go on with 'ballast resume THREAD'", 2)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another ctrl-C must not replace the exit code
    if ended == INTERRUPTED:
        _fail("stopped; what is stored is safe: go on with 'ballast resume THREAD'", 4)


def _check_text(arguments: list[str]) -> None:
    """Neither Postgres nor a model takes bytes that are no text."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise BadSetting(f"argument {argument!a:.80} is not UTF-8 text") from None


def _fail(line: str, code: int) -> None:
    print(f"ballast: {visible(line)}", file=sys.stderr)
    raise SystemExit(code)


@cli.command()
def run(
    task: str,
    thread: Annotated[str | None, typer.Option(help="Thread to start or go on with.")] = None,
    graph: Graph = None,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Make the plan, show it, and stop there.")] = False,
    model: Model = None,
    workspace: Workspace = None,
    tenant: Tenant = None,
    max_iterations: MaxIterations = None,
    max_tool_calls: MaxToolCalls = None,
    tool_limits: ToolLimits = None,
    max_reply_tokens: MaxReplyTokens = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    max_thread_tokens: MaxThreadTokens = None,
    max_thread_usd: MaxThreadUsd = None,
    max_seconds: MaxSeconds = None,
    keep_tool_results: KeepToolResults = None,
    fold_share: FoldShare = None,
    window_tokens: WindowTokens = None,
    approval_seconds: ApprovalSeconds = None,
    as_json: AsJson = False,
) -> None:
    """Run TASK until it ends or waits for a person."""
    from app import choosing, show

    if not task.strip():
        raise BadSetting("the task is empty: say what to do, ballast run 'TASK'")
    choosing.checked(graph, plan_only=plan_only)
    context = context_of(
        model=model, workspace=workspace, tenant=tenant, max_iterations=max_iterations, max_tool_calls=max_tool_calls,
        tool_limits=tool_limits, max_reply_tokens=max_reply_tokens,
        max_tokens=max_tokens, max_usd=max_usd, max_seconds=max_seconds,
        max_thread_tokens=max_thread_tokens, max_thread_usd=max_thread_usd,
        keep_tool_results=keep_tool_results, fold_share=fold_share, window_tokens=window_tokens,
        approval_seconds=approval_seconds,
    )  # fmt: skip

    async def do(services: Opened) -> Any:
        from app.runs import Runs

        choice = await choosing.chosen(services, graph, task, thread=thread, plan_only=plan_only)
        if graph == choosing.AUTO:
            print(f"graph {choice.graph}: {choice.why}", file=sys.stderr)
        runs = Runs(opened=services, progress=show.progress())
        return await runs.start(task, thread_id=thread, context=context, graph=choice.graph, plan_only=plan_only)

    finish(with_services(do), as_json, show.planned if plan_only else show.run_result, plan_only=plan_only)


@cli.command()
def resume(
    thread: str,
    model: Model = None,
    max_iterations: MaxIterations = None,
    max_tool_calls: MaxToolCalls = None,
    tool_limits: ToolLimits = None,
    max_reply_tokens: MaxReplyTokens = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    max_thread_tokens: MaxThreadTokens = None,
    max_thread_usd: MaxThreadUsd = None,
    max_seconds: MaxSeconds = None,
    keep_tool_results: KeepToolResults = None,
    fold_share: FoldShare = None,
    window_tokens: WindowTokens = None,
    approval_seconds: ApprovalSeconds = None,
    as_json: AsJson = False,
) -> None:
    """Go on with THREAD: with what was decided so far, or after a crash from its last checkpoint."""
    from app.show import progress, run_result

    context = context_of(
        model=model, max_iterations=max_iterations, max_tool_calls=max_tool_calls,
        tool_limits=tool_limits, max_reply_tokens=max_reply_tokens,
        max_tokens=max_tokens, max_usd=max_usd, max_seconds=max_seconds,
        max_thread_tokens=max_thread_tokens, max_thread_usd=max_thread_usd,
        keep_tool_results=keep_tool_results, fold_share=fold_share, window_tokens=window_tokens,
        approval_seconds=approval_seconds,
    )  # fmt: skip

    async def do(services: Opened) -> Any:
        from app.runs import Runs

        return await Runs(opened=services, progress=progress()).resume(thread, context=context)

    finish(with_services(do), as_json, run_result)


@cli.command()
def history(thread: str, as_json: AsJson = False) -> None:
    """Checkpoints of THREAD, newest first."""
    from app.show import progress, table

    async def do(services: Opened) -> Any:
        from app.runs import Runs

        runs = Runs(opened=services, progress=progress())
        await runs.known(thread)
        return await runs.history(thread)

    emit(with_services(do), as_json, table("step", "node", "next", "checkpoint_id", "created_at"))


@cli.command()
def replay(
    thread: str,
    from_node: Annotated[str | None, typer.Option("--from", help="Replay from before this node's last run.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Replay from this checkpoint.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would run and which effects would be reused.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fork THREAD at an earlier point and run on from there; the old branch stays."""
    from app.show import dry_run_result, progress, run_result

    if (from_node is None) == (checkpoint is None):
        raise BadSetting("say where from: either --from NODE or --checkpoint ID")

    async def do(services: Opened) -> Any:
        from app.replay import preview
        from app.runs import Runs

        runs = Runs(opened=services, progress=progress())
        found = await runs.find_checkpoint(thread, node=from_node, checkpoint_id=checkpoint)
        if dry_run:
            return await preview(services, found)
        return await runs.replay(thread, found.config["configurable"]["checkpoint_id"])

    result = with_services(do)
    if dry_run:
        emit(result, as_json, dry_run_result)
    else:
        finish(result, as_json, run_result)


@cli.command()
def effects(thread: str, as_json: AsJson = False) -> None:
    """Side effects of THREAD, oldest first."""
    from app import show

    async def do(services: Opened) -> Any:
        from app.runs import Runs

        await Runs(opened=services, progress=show.progress()).known(thread)
        return await services.ledger.of_thread(thread)

    emit(with_services(do), as_json, show.effects(thread))


@cli.command()
def tools(as_json: AsJson = False) -> None:
    """The registered tools and their marks.

    RISK is the tier in force: the one a tool declares, or the higher one of BALLAST_POLICY. A call's arguments may
    raise it further; nothing lowers it.
    """
    from app.listing import listing
    from app.show import table

    emit(listing(), as_json, table("name", "risk", "untrusted_output", "idempotent", "source"))


@cli.command()
def threads(
    limit: Annotated[int, typer.Option(min=1, help="List at most this many.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Threads in this database, newest first."""
    from app.show import table

    async def do(services: Opened) -> Any:
        return await services.saver.list_threads(limit)

    emit(with_services(do), as_json, table("thread_id", "checkpoints", "updated_at"))


@cli.command()
def doctor(as_json: AsJson = False) -> None:
    """Check settings, database and model chain; exit code 2 when a check failed."""
    from app.doctor import examine
    from app.show import table

    rows = with_services(examine)
    emit(rows, as_json, table("check", "status"))
    if not all(row["ok"] for row in rows):
        raise SystemExit(2)


if __name__ == "__main__":
    main()
