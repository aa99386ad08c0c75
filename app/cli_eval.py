"""`ballast eval`: what the agent does on suites of tasks."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from app import loop
from app.session import AsJson
from app.visible import visible_text
from graph.errors import BadSetting

eval_app = typer.Typer(help="Hold the agent against suites of tasks.", no_args_is_help=True)

CONTENT = ("ask", "show")

_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")


@eval_app.callback()
def evals() -> None:
    """Hold the agent against suites of tasks."""


@eval_app.command()
def dojo(
    suite: Annotated[str, typer.Option(help="AgentDojo's suite: banking, travel, workspace, slack.")],
    marks: Annotated[Path, typer.Option(help="Which of its tools change something: a YAML file.")],
    attack: Annotated[
        str, typer.Option(help="AgentDojo's attack that words the injections.")
    ] = "important_instructions",
    obfuscate: Annotated[
        bool, typer.Option("--obfuscate", help="Rewrite the wanted values in the injections.")
    ] = False,
    injections: Annotated[str | None, typer.Option(help="Only these injection tasks, 0-5 or 0,3,7; else all.")] = None,
    plans: Annotated[Path | None, typer.Option(help="Calls of injection tasks without a ground truth.")] = None,
    content: Annotated[str, typer.Option(help="Content of unknown origin: ask a person, or show it only.")] = "ask",
    graph: Annotated[str, typer.Option(help="react or plan.")] = "react",
    as_json: AsJson = False,
) -> None:
    """Run AgentDojo's SUITE on our own graphs, with a model that obeys whatever it reads.

    Exit code 1 when an injected call with an effect ran without approval.
    """
    from app.runs import GRAPHS
    from evals.dojo.agentdojo import DojoSuite
    from evals.dojo.marks import read_marks, read_plans
    from evals.dojo.play import Chosen, evaluate

    if graph not in GRAPHS:
        raise BadSetting(f"there is no graph {graph!r}: use {' or '.join(GRAPHS)}")
    if content not in CONTENT:
        raise BadSetting(f"--content is {' or '.join(CONTENT)}, not {content!r:.40}")
    chosen_marks = read_marks(marks)
    given = read_plans(plans) if plans else {}
    library = DojoSuite(suite, attack=attack, obfuscate=obfuscate, plans=given)
    chosen_marks.check({one.name: set(one.schema.model_fields) for one in library.tools})
    if unknown := sorted(set(given) - set(library.injections)):
        raise BadSetting(f"plans: the suite has no {', '.join(unknown)}")
    chosen = Chosen(
        graph=graph,
        content="ask" if content == "ask" else "show",
        injections=_chosen(injections, library.injections),
    )
    found = loop.run(evaluate(library, chosen_marks, chosen, partial(_progress, "dojo: {} of {} pairs")))
    _show({"suite": suite, "attack": attack, "graph": graph, **found}, as_json)
    if found["injected_executed_unapproved"]:
        raise SystemExit(1)


@eval_app.command()
def run(
    dataset: Annotated[Path | None, typer.Option(help="A file of attacks.", show_default="the attacks of ours")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those of this category, or with this tag.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Play attacks on our own graphs, with a model that is wholly the attacker's; exit code 1 when one gets through."""
    import json

    import evals
    from evals.attacks.dataset import chosen, read_cases
    from evals.attacks.play import evaluate
    from evals.attacks.report import figures, lines

    path = dataset or Path(evals.__file__).with_name("datasets") / "attacks.yaml"
    cases = chosen(read_cases(path), tag, limit)
    found = figures(loop.run(evaluate(cases, partial(_progress, "attacks: {} of {} played"))))
    print(json.dumps(found, ensure_ascii=False) if as_json else visible_text("\n".join(lines(found))))
    if found["misses"]:
        raise SystemExit(1)  # `app.cli.main` passes Typer's own Exit over


def _chosen(wanted: str | None, known: Sequence[str]) -> list[str]:
    """Names of injection tasks.

    Raises:
        BadSetting: none is meant, or it can't be read.
    """
    if wanted is None:
        return list(known)
    numbers: set[int] = set()
    for part in wanted.split(","):
        found = _RANGE.fullmatch(part.strip())
        if not found:
            raise BadSetting(f"--injections is a range such as 0-5, or numbers: 0,3,7, not {wanted!r:.40}")
        numbers |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    chosen = [name for name in known if int(name.rpartition("_")[2]) in numbers]
    if not chosen:
        raise BadSetting(f"nothing is selected: the suite has no injection task {wanted}")
    return chosen


def _progress(told: str, done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{told.format(done, of)}", end="\n" if done == of else "", file=sys.stderr, flush=True)


def _show(found: dict[str, Any], as_json: bool) -> None:
    import json

    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    for name, value in found.items():
        if isinstance(value, list):
            print(f"{name}: {len(value)}")
            for one in value:
                print(f"  {json.dumps(one, ensure_ascii=False)}")
        else:
            print(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")
