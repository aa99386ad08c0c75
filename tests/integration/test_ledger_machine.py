"""The ledger as a state machine on real Postgres: two processes, crashes, slow holders, checks and a person."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import sampled_from

from checkpoints.approvals import PostgresApprovals
from checkpoints.database import Pool, open_pool
from checkpoints.ledger import Database, Ending, Intent, Ledger, Recorded
from checkpoints.migrate import migrate
from graph.approvals import Question
from graph.state import Call

COUNT = itertools.count()


class Attempt:
    """A tool's code at work: it begins, may have its effect, and ends when the machine says so."""

    def __init__(self) -> None:
        self.begun = False
        self.happened = False
        self.end: asyncio.Future[tuple[Ending, str]] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[Recorded] | None = None

    async def __call__(self, _key: str, _database: Database) -> tuple[Ending, str]:
        self.begun = True
        return await self.end


class Machine(RuleBasedStateMachine):
    """One intent. `runner` and `pool` are put in by the test."""

    runner: asyncio.Runner
    pool: Pool

    def __init__(self) -> None:
        super().__init__()
        self.intent = Intent(thread_id=f"m{next(COUNT)}", tool="send", args={}, digest="d", occurrence=0)
        self.ledgers = [Ledger(self.pool), Ledger(self.pool)]
        self.working: Attempt | None = None
        self.slow: list[Attempt] = []
        self.count, self.excused = 0, 0
        self.done: Any = None

    def _do(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def _row(self) -> dict[str, Any] | None:
        return next(iter(self._do(self.ledgers[0].of_thread(self.intent.thread_id))), None)

    def _verdict(self, answer: str) -> bool | None:
        """A truthful check: False only when it did not happen and no attempt is left that could still do it."""
        if answer == "can't tell":
            return None
        if self.count:
            return True
        return None if any(not attempt.happened for attempt in self.slow) else False

    async def _begin(self, ledger: Ledger, answer: str) -> None:
        attempt = Attempt()

        async def verify(_key: str) -> bool | None:
            return self._verdict(answer)

        attempt.task = asyncio.create_task(ledger.run_once(attempt, self.intent, transactional=False, verify=verify))
        while not (attempt.begun or attempt.task.done()):
            await asyncio.wait({attempt.task}, timeout=0.001)
        if attempt.begun:
            assert self.working is None
            self.working = attempt

    @precondition(lambda self: self.working is None)
    @rule(process=sampled_from([0, 1]), answer=sampled_from(["truth", "can't tell"]))
    def run(self, process: int, answer: str) -> None:
        self._do(self._begin(self.ledgers[process], answer))

    @precondition(lambda self: self.working and not self.working.happened)
    @rule()
    def effect(self) -> None:
        assert self.working
        self.working.happened = True
        self.count += 1

    @precondition(lambda self: self.working)
    @rule(ending=sampled_from(["by its truth", "unknown"]))
    def finish(self, ending: str) -> None:
        assert self.working
        self._end(self.working, ending)
        self.working = None

    @precondition(lambda self: self.working)
    @rule(slow=sampled_from([True, False]))
    def cut_off(self, slow: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        """The process is gone, or only seems so: then it may finish later, but the effect was before that."""
        assert self.working
        if slow:
            self.slow.append(self.working)
        self.working = None
        self.ledgers = [Ledger(self.pool), Ledger(self.pool)]

    @precondition(lambda self: self.slow)
    @rule()
    def finish_late(self) -> None:
        self._end(self.slow.pop(), "by its truth")

    def _end(self, attempt: Attempt, ending: str) -> None:
        truth: Ending = "done" if attempt.happened else "failed"
        attempt.end.set_result((truth if ending == "by its truth" else "unknown", "it"))
        self._do(asyncio.wait({attempt.task}))

    @precondition(lambda self: self.working is None)
    @rule(kind=sampled_from(["done", "retry", "abandon"]))
    def person(self, kind: str) -> None:
        row = self._row()
        if row is None or row["state"] != "unknown":
            return
        if kind == "retry" and (self.count or self.slow):
            self.excused += 1
        self._do(self._decide(row["key"], kind))

    async def _decide(self, key: str, kind: str) -> None:
        approvals = PostgresApprovals(self.pool)
        call = Call(id="c", name="send", args={}, risk="high", reason="", status="ask", effect_key=key)
        question = Question(
            thread_id=self.intent.thread_id,
            checkpoint_id=str(next(COUNT)),
            interrupt_id="i",
            turn="t",
            deadline=datetime(2030, 1, 1, tzinfo=UTC),
        )
        [asked] = await approvals.ask([call], question)
        await approvals.decide(asked.id, {"type": kind}, by="ann")
        await approvals.apply([asked.id])

    @invariant()
    def at_most_once_unless_a_person_erred(self) -> None:
        assert self.count <= 1 + self.excused

    @invariant()
    def what_is_done_stays(self) -> None:
        row = self._row()
        if self.done is not None:
            assert row == self.done
        elif row and row["state"] == "done":
            self.done = row

    def teardown(self) -> None:
        async def stop() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            mine = [task for task in tasks if "run_once" in repr(task)]
            for task in mine:
                task.cancel()
            await asyncio.gather(*mine, return_exceptions=True)

        self._do(stop())


def test_an_effect_happens_at_most_once_and_what_is_done_stays(database_url: str) -> None:
    with asyncio.Runner() as runner:
        opening = open_pool(database_url, max_size=4)
        pool = runner.run(opening.__aenter__())
        try:
            runner.run(migrate(pool))
            machine = type("OnPostgres", (Machine,), {"runner": runner, "pool": pool})
            chosen = settings(
                max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            )
            run_state_machine_as_test(machine, settings=chosen)
        finally:
            runner.run(opening.__aexit__(None, None, None))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM effects").fetchone() != (0,)
