from __future__ import annotations

import dataclasses
import json

import pytest

from evals.chaos import plan_story, story
from evals.chaos.case import BLOWS, EVERYWHERE, STORIES, Strike, case, parse_id
from evals.chaos.results import COLUMNS, Result, failures, table
from evals.chaos.trap import NODES, POINTS, Trap
from graph.errors import BadSetting


def test_a_case_is_its_seed_and_its_id() -> None:
    assert case(5, "kill", 17) == case(5, "kill", 17)
    assert case(5, "kill", 17) != case(6, "kill", 17)
    assert parse_id(case(5, "kill", 17).id) == ("kill", 17)


@pytest.mark.parametrize("graph", NODES)
def test_cases_in_a_row_go_through_every_point(graph: str) -> None:
    everywhere = EVERYWHERE[graph]
    assert [case(1, "kill", number, graph).strikes[0].point for number in range(len(everywhere))] == list(everywhere)


@pytest.mark.parametrize("graph", NODES)
def test_blows_go_through_every_point_and_every_kind(graph: str) -> None:
    blows = [case(1, "postgres", number, graph).strikes[0] for number in range(len(POINTS[graph]))]

    assert {blow.point for blow in blows} == set(POINTS[graph])
    assert {blow.blow for blow in blows} == set(BLOWS)


@pytest.mark.parametrize("text", ["kill", "kill-", "kill-x", "flood-3", "-3", ""])
def test_an_id_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="kill-17"):
        parse_id(text)


@pytest.mark.parametrize(("share", "at"), [(0.0, 1), (0.5, 3), (0.99, 4)])
def test_a_strike_comes_within_the_times_its_point_is_reached(share: float, at: int) -> None:
    assert Strike(point="waiting", share=share).at({"waiting": 4}) == at


@pytest.mark.parametrize("number", range(STORIES))
def test_every_story_reads_asks_acts_and_folds(number: int) -> None:
    turns = story.tell(1, number).script["turns"]
    calls = [call for turn in turns for call in turn.get("tool_calls", [])]
    decided = [story.decision(call["name"], call["args"])["type"] for call in calls if call["name"] == "place_order"]

    assert story.tell(1, number) == story.tell(1, number)
    assert {"post_notice", "send_email", "place_order", "get_order"} <= {call["name"] for call in calls}
    assert {"approve", "reject"} == set(decided)
    assert len(calls) > story.KEEP_TOOL_RESULTS * 2


@pytest.mark.parametrize("number", range(STORIES))
def test_every_plan_reads_asks_acts_and_repeats_itself(number: int) -> None:
    [turn] = plan_story.tell(1, number).script["planner"]
    tasks = turn["tool_calls"][0]["args"]["tasks"]
    decided = {story.decision(one["tool"], one["args"])["type"] for one in tasks if one["tool"] == "place_order"}
    said = [one["args"]["text"] for one in tasks if one["tool"] == "post_notice"]

    assert plan_story.tell(1, number) == plan_story.tell(1, number)
    assert {"post_notice", "send_email", "place_order", "get_order", "react"} <= {one["tool"] for one in tasks}
    assert decided == {"approve", "reject"}
    assert len(said) > len(set(said))


def test_the_trap_springs_once() -> None:
    sprung: list[str] = []
    trap = Trap(point="waiting", at=2, spring=lambda: sprung.append("now"))

    for point in ("waiting", "act.before", "waiting", "waiting"):
        trap.reach(point)

    assert sprung == ["now"]
    assert trap.hits == {"waiting": 3, "act.before": 1}


LOST = Result(case="kill-3", fault="kill", struck=2, problems=(("lost", "answer"), ("lost", "outcome"), ("stuck", "x")))
FINE = Result(case="kill-4", fault="kill", struck=1, points=("waiting",), doubts=2, surfaced=2)


def test_the_table_has_a_row_for_each_fault() -> None:
    rows = table([LOST, FINE, Result(case="postgres-0", fault="cut", struck=1)])

    assert [tuple(row) for row in rows] == [COLUMNS, COLUMNS]
    assert rows[0] == {
        "fault": "kill", "cases": 2, "struck": 3, "lost": 1, "duplicated": 0, "missing": 0, "stuck": 1,
        "over limit": 0, "in doubt": 2, "surfaced": 2, "failed": 1,
    }  # fmt: skip
    assert rows[1]["failed"] == 0


def test_a_failure_names_the_command_that_repeats_it() -> None:
    [line] = failures([LOST, FINE], seed=9)

    assert "ballast chaos --seed 9 --case kill-3" in line
    assert "stuck: x" in line
    assert "--seed 9 --graph plan --case kill-3" in failures([LOST], 9, "plan")[0]


def test_a_result_survives_its_json() -> None:
    assert Result.of(json.loads(json.dumps(dataclasses.asdict(LOST)))) == LOST
