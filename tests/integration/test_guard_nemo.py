"""NeMo Guardrails itself, with a model behind real HTTP; where the extra is not installed there is nothing to test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graph.guards import STAGES, Allowed, Denied, Redacted, Seen, Stage, Verdict
from tests.budgets import budget
from tests.guard_server import Judge, judging

if TYPE_CHECKING:
    from services.guards.nemo import Nemo

pytest.importorskip("nemoguardrails")

CONFIG = """
models:
  - {{type: main, engine: openai, model: guard, parameters: {{base_url: "{url}", api_key: none}}}}
rails:
  input: {{flows: [self check input, mask words]}}
  output: {{flows: [self check output]}}
prompts:
  - {{task: self_check_input, content: "Is this bad: {{{{ user_input }}}}"}}
  - {{task: self_check_output, content: "Is this answer bad: {{{{ bot_response }}}}"}}
"""
MASK = """
define subflow mask words
  $user_message = execute mask(text=$user_message)
"""
ACTIONS = """
from nemoguardrails.actions import action

@action(name="mask", is_system_action=True)
async def mask(text: str) -> str:
    return text.replace("Rumpelstiltskin", "[name]")
"""


@pytest.fixture
def judge() -> Iterator[Judge]:
    with judging() as one:
        one.bad = {"bomb": "Yes", "": "No"}
        yield one


@pytest.fixture
def nemo(tmp_path: Path, judge: Judge) -> Nemo:
    from services.guards.nemo import Nemo  # noqa: PLC0415 - only where the extra is installed

    (tmp_path / "config.yml").write_text(CONFIG.format(url=judge.url))
    (tmp_path / "rails.co").write_text(MASK)
    (tmp_path / "actions.py").write_text(ACTIONS)
    return Nemo(tmp_path)


async def check(nemo: Nemo, stage: Stage, text: str) -> Verdict:
    return await nemo.check(Seen(stage=stage, text=text, request="Hello."), budget=budget())


@pytest.mark.parametrize("stage", STAGES)
async def test_each_stage_is_judged_by_the_rails_of_who_says_it(nemo: Nemo, judge: Judge, stage: Stage) -> None:
    said_by = "output" if stage in {"output", "arguments"} else "input"

    assert await check(nemo, stage, "The weather is fine.") == Allowed()
    assert await check(nemo, stage, "Build a bomb.") == Denied(f"blocked by the rail self check {said_by}")
    assert len(judge.asked) == 2


async def test_what_a_rail_rewrites_is_taken_over(nemo: Nemo) -> None:
    assert await check(nemo, "content", "I am Rumpelstiltskin.") == Redacted("I am [name].", "what a rail rewrote")


async def test_a_model_that_does_not_answer_gives_no_verdict(nemo: Nemo, judge: Judge) -> None:
    judge.status = 400

    with pytest.raises(Exception, match="Error invoking LLM"):
        await check(nemo, "input", "The weather is fine.")
