"""An effect that was cut off: settled by its tool, else by a person, never tried again blindly."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from app.lifespan import Opened
from app.runs import Runs
from graph.context import Context
from graph.errors import AlreadyDecided
from services.endpoints import endpoints_of
from tests.integration.conftest import Script, calls, decide, results_of, say
from tools.base import Injected, Verify, tool
from tools.execute import Executor
from tools.registry import ToolBox

RING: tuple[str, dict[str, Any]] = ("ring", {"bell": "front"})


class Bell:
    """The world: how often it rang, under which keys. The first `breaks` attempts end with an error after it."""

    def __init__(self, *, breaks: int = 1, rings: bool = True) -> None:
        self.keys: list[str] = []
        self.tries, self.breaks, self.rings = 0, breaks, rings

    def tool(self, *, verify: Verify | None = None, risk: Any = "low") -> ToolBox:
        @tool(risk=risk, untrusted_output=False, idempotent=False, verify=verify)
        async def ring(bell: str, context: Injected) -> str:
            """Ring.

            Args:
                bell: Which.
            """
            self.tries += 1
            if self.rings or self.tries > self.breaks:
                self.keys.append(context.idempotency_key)
            if self.tries <= self.breaks:
                raise RuntimeError("cut off")
            return f"rang {bell}"

        return ToolBox([ring])

    def engine(self, services: Opened, box: ToolBox | None = None) -> Runs:
        executor = Executor(box or self.tool(), services.ledger, endpoints_of(services.settings))
        engine = dataclasses.replace(services, services=dataclasses.replace(services.services, tools=executor))
        return Runs(opened=engine, progress=lambda _node, _change: None)


async def _asked(runs: Runs, script: Script) -> dict[str, Any]:
    report = await runs.start("go", thread_id="t", context=script(calls(RING), say("done")))
    assert report["outcome"] == "awaiting_approval"
    [row] = [row for row in report["approvals"] if row["status"] == "pending"]
    return dict(row)


async def _states(services: Opened) -> list[tuple[str, int]]:
    return [(row["state"], row["attempts"]) for row in await services.ledger.of_thread("t")]


async def test_a_person_is_asked_about_it_at_no_tier_a_timer_lets_go(services: Opened, script: Script) -> None:
    bell = Bell()

    row = await _asked(bell.engine(services), script)

    assert (row["risk"], row["deadline"], row["effect_key"]) == ("high", None, bell.keys[0])
    assert "in doubt" in row["reason"]
    assert "may have happened" in row["reason"]
    assert await _states(services) == [("unknown", 1)]


@pytest.mark.parametrize(
    ("kind", "said", "state"),
    [
        ("done", "This happened, as a person found: it rang", ("done", 1)),
        ("retry", "rang front", ("done", 2)),
        ("abandon", "gave it up: it rang", ("failed", 1)),
    ],
)
async def test_each_decision_reaches_the_ledger_and_the_model(
    services: Opened, script: Script, kind: str, said: str, state: tuple[str, int]
) -> None:
    bell = Bell(rings=False)
    runs = bell.engine(services)
    row = await _asked(runs, script)

    await decide(services, row["id"], kind, message="it rang")
    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "completed"
    assert said in (await results_of(runs, "t"))["ring"]
    assert await _states(services) == [state]
    assert bell.tries == state[1]
    assert bell.keys == ([row["effect_key"]] if kind == "retry" else [])


async def test_a_retry_that_is_cut_off_again_is_asked_about_again(services: Opened, script: Script) -> None:
    bell = Bell(breaks=2)
    runs = bell.engine(services)
    first = await _asked(runs, script)
    await decide(services, first["id"], "retry")

    report = await runs.resume("t", context=Context())

    [again] = [row for row in report["approvals"] if row["status"] == "pending"]
    assert (again["effect_key"], bell.tries) == (first["effect_key"], 2)
    assert again["id"] != first["id"]
    await decide(services, again["id"], "done")
    assert (await runs.resume("t", context=Context()))["outcome"] == "completed"
    assert bell.tries == 2


async def test_what_was_given_up_is_not_run_by_a_replay(services: Opened, script: Script) -> None:
    bell = Bell()
    runs = bell.engine(services)
    row = await _asked(runs, script)
    await decide(services, row["id"], "abandon")
    await runs.resume("t", context=Context())
    found = await runs.find_checkpoint("t", node="act", checkpoint_id=None)

    await runs.replay("t", found.config["configurable"]["checkpoint_id"])

    assert bell.tries == 1


async def test_cancelling_stops_the_run_and_leaves_the_doubt(services: Opened, script: Script) -> None:
    runs = Bell().engine(services)
    row = await _asked(runs, script)

    await decide(services, row["id"], "cancel")
    report = await runs.resume("t", context=Context())

    assert report["outcome"] == "cancelled"
    said = (await results_of(runs, "t"))["ring"]
    assert "may have happened" in said
    assert "its row in the effect ledger stays unknown" in said
    assert report["answer"].endswith("In doubt, may have happened: ring({'bell': 'front'}).")
    assert await _states(services) == [("unknown", 1)]


async def test_of_two_deciders_one_wins_and_the_ledger_follows_it(services: Opened, script: Script) -> None:
    row = await _asked(Bell().engine(services), script)

    ends = await asyncio.gather(
        *(decide(services, row["id"], kind) for kind in ["done", "retry", "abandon"] * 4), return_exceptions=True
    )

    assert sum(isinstance(end, AlreadyDecided) for end in ends) == 11
    status = (await services.approvals.get(row["id"])).status
    assert await _states(services) == [("done" if status == "done" else "failed", 1)]


@pytest.mark.parametrize("kind", ["retry", "abandon", "done"])
async def test_a_ledger_that_was_settled_meanwhile_is_believed(services: Opened, script: Script, kind: str) -> None:
    bell = Bell()
    runs = bell.engine(services)
    row = await _asked(runs, script)
    async with services.pool.connection() as connection:
        await connection.execute("UPDATE effects SET state = 'done', result = 'it rang after all'")

    await decide(services, row["id"], kind)
    await runs.resume("t", context=Context())

    assert (await results_of(runs, "t"))["ring"] == "it rang after all"
    assert bell.tries == 1


@pytest.mark.parametrize("forged", [{"status": "ready"}, {"status": "ready", "risk": "low", "approval_id": "ap-0"}])
async def test_an_edited_state_does_not_run_it(services: Opened, script: Script, forged: dict[str, Any]) -> None:
    bell = Bell()
    runs = bell.engine(services)
    await _asked(runs, script)
    snapshot = await runs.known("t")
    [call] = snapshot.values["calls"]

    edited = await runs.react.aupdate_state(snapshot.config, {"calls": [{**call, **forged}]}, as_node="approve")
    await runs.react.ainvoke(None, edited)

    assert bell.tries == 1
    assert [row.risk for row in await services.approvals.find(thread_id="t", pending=True)] == ["high"]


@pytest.mark.parametrize(("kind", "said"), [("retry", "there is no tool 'ring'"), ("done", "This happened")])
async def test_one_of_a_tool_that_is_gone_is_asked_about_too(
    services: Opened, script: Script, kind: str, said: str
) -> None:
    runs = Bell().engine(services)
    await _asked(runs, script)
    act = await runs.find_checkpoint("t", node="act", checkpoint_id=None)
    gone = Bell().engine(services, ToolBox([]))

    report = await gone.replay("t", act.config["configurable"]["checkpoint_id"])
    [row] = [row for row in report["approvals"] if row["status"] == "pending"]
    await decide(services, row["id"], kind)
    await gone.resume("t", context=Context())

    assert said in (await results_of(gone, "t"))["ring"]


@pytest.mark.parametrize(
    ("answer", "tries", "states"),
    [
        (True, 1, [("done", 1)]),
        ("it rang", 1, [("done", 1)]),
        (False, 1, [("failed", 1)]),
        (None, 1, [("unknown", 1)]),
        (7, 1, [("unknown", 1)]),
        (RuntimeError("no idea"), 1, [("unknown", 1)]),
        (SystemExit(3), 1, [("unknown", 1)]),
    ],
)
async def test_a_tools_own_check_settles_an_error_at_once(
    services: Opened, script: Script, answer: Any, tries: int, states: list[tuple[str, int]]
) -> None:
    async def verify(bell: str, context: Any) -> Any:
        assert (bell, bool(context.idempotency_key)) == ("front", True)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    bell = Bell()
    runs = bell.engine(services, bell.tool(verify=verify))

    await runs.start("go", thread_id="t", context=script(calls(RING), say("done")))

    assert (bell.tries, await _states(services)) == (tries, states)


@pytest.mark.parametrize(("answer", "tries"), [(True, 1), (False, 2), (None, 1)])
async def test_a_tools_own_check_settles_what_is_found_cut_off(
    services: Opened, script: Script, answer: Any, tries: int
) -> None:
    async def verify(bell: str, context: Any) -> Any:
        return answer

    bell = Bell()
    await _asked(bell.engine(services), script)
    runs = bell.engine(services, bell.tool(verify=verify))
    act = await runs.find_checkpoint("t", node="act", checkpoint_id=None)

    report = await runs.replay("t", act.config["configurable"]["checkpoint_id"])

    assert bell.tries == tries
    assert report["outcome"] == ("awaiting_approval" if answer is None else "completed")
    assert await _states(services) == [("unknown" if answer is None else "done", tries)]
