"""`ballast chaos`: kill, cut off and confuse runs, and see that each ends as if nothing had happened."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from app.session import AsJson
from graph.errors import BadSetting, NotFound

WIDTH = 110
"""Of the table, in characters, also when it is piped."""


def chaos(
    kills: Annotated[int, typer.Option(min=0, max=1_000_000, help="Processes to kill.")] = 200,
    runs: Annotated[int, typer.Option(min=0, max=1_000_000, help="Runs on a faulty model server.")] = 40,
    seed: Annotated[int, typer.Option(help="The same seed, the same cases.")] = 1,
    case: Annotated[str | None, typer.Option(help="Repeat this one case, such as kill-17.")] = None,
    faults: Annotated[str, typer.Option(help="Which, comma-separated: kill, postgres, model.")] = "kill,postgres,model",
    graph: Annotated[str, typer.Option(help="Which graph is tried: react or plan.")] = "react",
    as_json: AsJson = False,
) -> None:
    """Kill runs everywhere, cut off their database, break their model; exit code 1 when one did not survive it."""
    from evals.chaos.case import EVERYWHERE, FAULTS, parse_id
    from evals.chaos.lanes import Plan, play
    from evals.chaos.results import Result, failures, table

    if graph not in EVERYWHERE:
        raise NotFound("graph", graph, f"use {' or '.join(EVERYWHERE)}")
    chosen = tuple(dict.fromkeys(name.strip() for name in faults.split(",")))
    if unknown := set(chosen) - set(FAULTS):
        raise BadSetting(f"there is no fault {', '.join(sorted(map(repr, unknown)))}: use {', '.join(FAULTS)}")
    if case:
        parse_id(case)
    results: list[Result] = []

    def tell(result: Result) -> None:
        results.append(result)
        _progress(len(results), failures([result], seed, graph))

    play(Plan(seed=seed, kills=kills, runs=runs, faults=chosen, graph=graph, only=case), tell)
    if not results:
        raise BadSetting("nothing was tried, so nothing is proven: raise --kills or --runs")
    order = {name: place for place, name in enumerate(("kill", "cut", "restart", "outage", "model"))}
    results.sort(key=lambda result: order[result.fault])
    failed = failures(results, seed, graph)
    _show({"seed": seed, "graph": graph, "table": table(results), "failed": failed}, results, as_json)
    raise SystemExit(1 if any(result.problems for result in results) else 0)


def _progress(count: int, failed: list[str]) -> None:
    """Failures at once, and on a terminal a line that counts; on stderr. No thread draws it: processes are forked."""
    for line in failed:
        print(line, file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(f"\rchaos: {count} cases", end="", file=sys.stderr, flush=True)


def _show(summary: dict[str, Any], results: list[Any], as_json: bool) -> None:
    import dataclasses
    import json

    from rich.console import Console

    from app.show import grid
    from evals.chaos.results import COLUMNS

    if as_json:
        print(json.dumps({**summary, "cases": [dataclasses.asdict(result) for result in results]}))
        return
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(grid(COLUMNS, summary["table"]))
    for line in summary["failed"]:
        print(line)
