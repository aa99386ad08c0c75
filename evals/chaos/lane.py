"""One lane: a process with a Postgres of its own that plays one case after the other."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from checkpoints.database import open_pool
from checkpoints.migrate import migrate
from evals.chaos import model_runs, picture, plan_story, story
from evals.chaos.attempt import Job
from evals.chaos.case import Case, case
from evals.chaos.drive import Driver, Played
from evals.chaos.postgres import OwnPostgres, own_postgres
from evals.chaos.processes import apart
from evals.chaos.provider import Provider, serving
from evals.chaos.results import Result
from graph.errors import BadSetting

OFFICE = Path(__file__).parents[2] / "examples/office"
KNOWN_ORDER = """
INSERT INTO orders (thread_id, idempotency_key, item, quantity, unit_price, created_at)
VALUES ('before', 'before', 'Desk lamp', 1, 38.25, '2026-01-02')
"""
"""What the trusted read of every story finds."""


@dataclass(kw_only=True)
class Lane:
    """Cases of one seed, played in a folder and on a Postgres of their own."""

    seed: int
    folder: Path
    postgres: OwnPostgres
    provider: Provider
    graph: str = "react"
    _undisturbed: dict[int, Played] = field(default_factory=dict)

    def play(self, fault: str, number: int) -> Result:
        """One case, compared with its story undisturbed."""
        if fault == "model":
            return self._model_run(number)
        told = case(self.seed, fault, number, self.graph)
        usual = self._usual(told.story)
        job, usual_seconds = self._job(told.id, told.story), usual.seconds / usual.attempts
        played = Driver(self.postgres).play(job, told.strikes, usual.reached, usual_seconds)
        shutil.rmtree(self.folder / told.id)
        return _result(told, played, usual)

    def _model_run(self, number: int) -> Result:
        name = f"model-{number}"
        job = model_runs.job(self.seed, number, self._workspace(name), self.postgres.url, self.provider)
        job = dataclasses.replace(job, graph=self.graph)
        played, bill = Driver(self.postgres).play(job, (), {}, 0.0), self.provider.bill(number)
        shutil.rmtree(self.folder / name)
        problems = list(played.problems)
        if played.picture:
            problems += model_runs.judge(played.picture, bill, model_runs.limits(self.seed, number))
        return Result(
            case=name,
            fault="model",
            struck=len(bill.faults),
            points=tuple(bill.faults),
            problems=tuple((problem.kind, problem.what) for problem in problems),
            seconds=round(played.seconds, 3),
            outcome=played.picture.outcome if played.picture else None,
        )

    def _usual(self, number: int) -> Played:
        """The story undisturbed; it must have come to its end.

        Raises:
            RuntimeError: it did not, and there is nothing to compare with.
        """
        if number not in self._undisturbed:
            job = self._job(f"undisturbed-{number}", number)
            played = Driver(self.postgres).play(job, (), {}, 0.0)
            if played.problems or played.picture is None or played.picture.outcome != "completed":
                raise RuntimeError(f"story {number} does not end undisturbed: {played}")
            self._undisturbed[number] = played
        return self._undisturbed[number]

    def _job(self, name: str, number: int) -> Job:
        """A copy of the office, and the story's script beside it."""
        script = self.folder / f"story-{number}.yaml"
        if not script.exists():
            tell = plan_story.tell if self.graph == "plan" else story.tell
            script.write_text(yaml.safe_dump(tell(self.seed, number).script))
        return Job(
            thread=f"{self.seed}-{name}",
            workspace=self._workspace(name),
            context={"model": f"scripted:{script}", "keep_tool_results": story.KEEP_TOOL_RESULTS},
            settings={"database_url": self.postgres.url, "home": self.folder, "openai_api_key": None},
            graph=self.graph,
        )

    def _workspace(self, name: str) -> Path:
        copied = shutil.copytree(OFFICE, self.folder / name / "office", ignore=shutil.ignore_patterns("outbox"))
        return Path(copied)


@contextmanager
def opened(seed: int, graph: str) -> Iterator[Lane]:
    """A lane, ready to play; its Postgres and its folder go with it.

    Raises:
        BadSetting: the office it works on is not there.
    """
    if not OFFICE.is_dir():
        raise BadSetting(f"chaos plays in a copy of {OFFICE}, which is not there: run it in a checkout of Ballast")
    with (
        tempfile.TemporaryDirectory(prefix="ballast-chaos-") as folder,
        serving(seed) as provider,
        own_postgres() as postgres,
    ):

        async def prepare() -> None:
            async with open_pool(postgres.url) as pool:
                await migrate(pool)

        apart(prepare)
        postgres.execute(KNOWN_ORDER)
        yield Lane(seed=seed, folder=Path(folder), postgres=postgres, provider=provider, graph=graph)


def play_all(lane: Lane, cases: Iterable[tuple[str, int]], tell: Callable[[Result], Any]) -> None:
    """Play these cases, as long as `tell` does not say that it is enough."""
    for fault, number in cases:
        if tell(lane.play(fault, number)):
            return


def _result(told: Case, played: Played, usual: Played) -> Result:
    problems = list(played.problems)
    shown: set[str] = set()
    if played.picture and usual.picture:
        problems += picture.compare(played.picture, usual.picture, played.doubts, played.asked)
        shown = picture.surfaced(played.picture, played.doubts)
    return Result(
        case=told.id,
        fault=told.strikes[0].blow or told.fault,
        struck=played.struck,
        points=tuple(played.points),
        doubts=len(played.doubts),
        surfaced=len(shown),
        problems=tuple((problem.kind, problem.what) for problem in problems),
        seconds=round(played.seconds, 3),
        outcome=played.picture.outcome if played.picture else None,
    )
