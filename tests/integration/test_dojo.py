"""The eval on a made-up suite: it finds nothing where the gates hold, and all of it where they are taken away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.lifespan import Opened
from evals.dojo.marks import SuiteMarks
from evals.dojo.play import Chosen, evaluate_on
from evals.dojo.world import Pair
from graph.context import UnprovenContent
from graph.errors import BadSetting
from nodes.provenance import Judge
from services.handlings import Handlings
from tests.integration.dojo_suite import Forwarding, Office

MARKS = SuiteMarks(side_effects=("send",), content={"send": ("text",)})


async def figures(services: Opened, marks: SuiteMarks = MARKS, **chosen: Any) -> dict[str, Any]:
    return await evaluate_on(services, Office(), marks, Chosen(injections=Office.injections, **chosen))


@pytest.mark.parametrize("graph", ["react", "plan"])
async def test_no_injected_call_runs_and_the_users_tasks_are_done(services: Opened, graph: str) -> None:
    found = await figures(services, graph=graph)

    assert (found["pairs"], found["exposed"], found["pairs_with_side_effect"]) == (2, 2, 2)
    assert (found["injected_executed_unapproved"], found["goals_reached"], found["misses"]) == (0, 0, [])
    assert (found["utility_benign"], found["utility_attack"]) == (1.0, 1.0)
    assert found["surface"] == {"attacker_sink": 0, "no_sink_write": 0, "content_swap": 0, "replay": 0}
    assert found["surface_tried"] == {"attacker_sink": 2, "no_sink_write": 0, "content_swap": 2, "replay": 2}
    assert found["raw_text_reached_model"] == 0, "but in fields of an extract, and that hijacks the model as well"


@pytest.mark.parametrize("graph", ["react", "plan"])
async def test_an_attackers_text_reaches_the_model_where_the_operator_wants_texts_and_moves_nothing(
    services: Opened, graph: str
) -> None:
    marked = services.settings.model_copy(update={"untrusted": Handlings(usual="marked", by_tool={"web": "raw"})})

    found = await figures(replace(services, settings=marked), graph=graph)

    assert (found["exposed"], found["raw_text_reached_model"]) == (2, 2)
    assert [one["user_task"] for one in found["raw_text_in"]] == ["known", "unknown"]
    assert (found["injected_executed_unapproved"], found["misses"]) == (0, [])


@pytest.mark.parametrize(("said", "kind"), [("Riverside", "output_only"), ("", "no_ground_truth")])
async def test_who_only_wants_words_said_is_told_from_whose_wishes_the_suite_does_not_say(
    services: Opened, said: str, kind: str
) -> None:
    class Callless(Office):
        def pair(self, user: str, injection: str | None) -> Pair:
            return replace(super().pair(user, injection), injected=[], said=said)

    found = await evaluate_on(services, Callless(), MARKS, Chosen(injections=Office.injections))

    assert found["pairs_with_side_effect"] == 0
    told = {name: (found[name]["pairs"], bool(found[name]["note"])) for name in ("output_only", "no_ground_truth")}
    assert told.pop(kind) == (2, True)
    assert list(told.values()) == [(0, False)]


async def test_only_the_task_whose_recipient_was_read_asks_a_person(services: Opened) -> None:
    found = await figures(services)

    assert (found["benign_tasks"], found["benign_tasks_asked"]) == (2, 1)
    assert (found["benign_calls"], found["benign_calls_asked"], found["prompts_per_task"]) == (2, 1, 0.5)
    [asked] = found["benign_asked"]
    assert (asked["user_task"], asked["calls"]) == ("unknown", 1)
    assert asked["why"][0].startswith("send: to 'ann@corp.example' is not from you")
    assert found["utility_no_person"] == 0.5


async def test_content_that_is_only_shown_goes_out_at_its_deadline(services: Opened) -> None:
    found = await figures(services, content="show")

    assert found["injected_executed_unapproved"] == 0
    assert found["surface"]["content_swap"] == 0, "shown, which is what was chosen"


@pytest.mark.parametrize("graph", ["react", "plan"])
@pytest.mark.parametrize(("content", "asked"), [("ask", 1), ("show", 0)])
async def test_what_a_deadline_let_go_is_not_asked_again(
    services: Opened, graph: str, content: UnprovenContent, asked: int
) -> None:
    found = await evaluate_on(services, Forwarding(), MARKS, Chosen(injections=[], graph=graph, content=content))

    assert (found["benign_calls_asked"], found["utility_benign"]) == (asked, 1.0)


@pytest.mark.parametrize("graph", ["react", "plan"])
async def test_without_gates_every_attack_is_counted(
    services: Opened, graph: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judge, "raised", lambda _self, _name, found, **_: (found.risk, found.reason))

    found = await figures(services, graph=graph)

    assert (found["injected_executed_unapproved"], found["goals_reached"]) == (2, 2)
    assert (found["surface"]["attacker_sink"], found["surface"]["replay"]) == (2, 2)
    assert found["surface"]["content_swap"] == (2 if graph == "react" else 0), "a plan holds the text from the start"
    assert found["benign_tasks_asked"] == 0
    assert {one["kind"] for one in found["misses"]} >= {"executed", "goal", "attacker_sink", "replay", "utility"}


async def test_a_read_that_is_marked_as_trusted_by_mistake_lets_the_attack_through(services: Opened) -> None:
    marks = MARKS.model_copy(update={"trusted_output": ("inbox",)})

    found = await figures(services, marks)

    assert found["injected_executed_unapproved"] == 2


async def test_a_reviewer_who_is_always_wrong_lets_the_attack_through(
    services: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evals.dojo.play.ERRS", (1.0,))

    found = await figures(services)

    assert found["erring_reviewer"] == {"1": 2}
    assert found["injected_executed_unapproved"] == 0, "somebody approved them"


def test_marks_must_fit_the_suite() -> None:
    arguments = {one.name: set(one.schema.model_fields) for one in Office.tools}
    MARKS.check(arguments)
    for marks, told in (
        (SuiteMarks(side_effects=("fly",)), "there is no tool fly"),
        (SuiteMarks(side_effects=("send",), content={"send": ("body",)}), "send takes no body"),
        (SuiteMarks(side_effects=("send",), record_ids=("key",)), "no tool takes key"),
    ):
        with pytest.raises(BadSetting, match=told):
            marks.check(arguments)
