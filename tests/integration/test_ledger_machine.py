"""The ledger as a state machine on real Postgres: two processes, crashes, slow holders, checks and a person, with
equal calls one after another, each of which may be replayed."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import sampled_from

from checkpoints.approvals import PostgresApprovals
from checkpoints.database import Pool, open_pool
from checkpoints.ledger import Database, Ending, Intent, Ledger, Recorded
from graph.approvals import Question
from graph.state import Call

COUNT = itertools.count()


class Attempt:
    """A tool's code at work: it begins, may have its effect, and ends when the machine says so."""

    def __init__(self) -> None:
        self.key = ""
        self.happened = False
        self.end: asyncio.Future[tuple[Ending, str]] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[Recorded] | None = None

    async def __call__(self, key: str, _database: Database) -> tuple[Ending, str]:
        self.key = key
        return await self.end


class Machine(RuleBasedStateMachine):
    """Equal calls of one thread. `runner` and `pool` are put in by the test."""

    runner: asyncio.Runner
    pool: Pool

    def __init__(self) -> None:
        super().__init__()
        self.intent = Intent(thread_id=f"m{next(COUNT)}", tool="send", args={}, digest="d", occurrence=0)
        self.ledgers = [Ledger(self.pool), Ledger(self.pool)]
        self.working: Attempt | None = None
        self.slow: list[Attempt] = []
        self.count, self.excused = Counter[str](), Counter[str]()
        """By key."""
        self.made = 0
        self.redirected: dict[int, str] = {}
        self.done: dict[str, Any] = {}

    def _do(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def _rows(self) -> list[dict[str, Any]]:
        return list(self._do(self.ledgers[0].of_thread(self.intent.thread_id)))

    def _slow(self, key: str) -> list[Attempt]:
        return [attempt for attempt in self.slow if attempt.key == key and not attempt.happened]

    def _verdict(self, key: str, answer: str) -> bool | None:
        """A truthful check: False only when it did not happen and no attempt is left that could still do it."""
        if answer == "can't tell":
            return None
        if self.count[key]:
            return True
        return None if self._slow(key) else False

    async def _begin(self, ledger: Ledger, intent: Intent, answer: str) -> None:
        attempt = Attempt()

        async def verify(key: str) -> bool | None:
            return self._verdict(key, answer)

        attempt.task = asyncio.create_task(ledger.run_once(attempt, intent, transactional=False, verify=verify))
        while not (attempt.key or attempt.task.done()):
            await asyncio.wait({attempt.task}, timeout=0.001)
        key = attempt.key or attempt.task.result().key
        assert key == self.redirected.get(intent.occurrence, key), "one asked about as another stays that one"
        if key != intent.key:
            follow = {call: key for call, other in self.redirected.items() if other == intent.key}
            self.redirected |= {**follow, intent.occurrence: key}
        if attempt.key:
            assert self.working is None
            self.working = attempt

    @precondition(lambda self: self.working is None)
    @rule(call=sampled_from([0, 1, 2]), process=sampled_from([0, 1]), answer=sampled_from(["truth", "can't tell"]))
    def run(self, call: int, process: int, answer: str) -> None:
        """The next equal call, or a replay of an earlier one."""
        call = min(call, self.made)
        self.made = max(self.made, call + 1)
        self._do(self._begin(self.ledgers[process], replace(self.intent, occurrence=call), answer))

    @precondition(lambda self: self.working and not self.working.happened)
    @rule()
    def effect(self) -> None:
        assert self.working
        self.working.happened = True
        self.count[self.working.key] += 1

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
        doubt = next((row["key"] for row in self._rows() if row["state"] == "unknown"), None)
        if doubt is None:
            return
        if kind == "retry" and (self.count[doubt] or self._slow(doubt)):
            self.excused[doubt] += 1
        self._do(self._decide(doubt, kind))

    async def _decide(self, key: str, kind: str) -> None:
        approvals = PostgresApprovals(self.pool)
        call = Call(id="c", name="send", args={}, risk="high", reason="", status="ask", effect_key=key)
        question = Question(
            thread_id=self.intent.thread_id,
            checkpoint_id=str(next(COUNT)),
            interrupt_id="i",
            turn="t",
            window_s=300,
        )
        [asked] = await approvals.ask([call], question)
        await approvals.decide(asked.id, {"type": kind}, by="ann")
        await approvals.apply([asked.id])

    @invariant()
    def at_most_once_unless_a_person_erred(self) -> None:
        assert all(count <= 1 + self.excused[key] for key, count in self.count.items())

    @invariant()
    def what_is_done_stays(self) -> None:
        for row in self._rows():
            assert row == self.done.get(row["key"], row)
            if row["state"] == "done":
                self.done[row["key"]] = row

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
            machine = type("OnPostgres", (Machine,), {"runner": runner, "pool": pool})
            chosen = settings(
                max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            )
            run_state_machine_as_test(machine, settings=chosen)
        finally:
            runner.run(opening.__aexit__(None, None, None))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM effects").fetchone() != (0,)
